// What a TLS connection to the API server demands and shows.
#pragma once

#include <string>

#include "hal/base/result.h"
#include "plugin/cluster/cluster_config.h"

typedef struct ssl_ctx_st SSL_CTX;  // openssl/ssl.h

namespace npu_ipc::cluster {

// Makes `context` trust `config`'s certificate authority and nobody else (the system's roots only
// where it names none), demand TLS 1.2 and a certificate that names `config.host` as a DNS name or
// an IP address (the common name does not count), and show the client certificate, if any. The
// handshake itself fails otherwise, before a request is sent.
//
// Credentials that are files are read now. kInvalidArgument when one does not hold what it should.
// Why a certificate was refused is written to `problem`, which must outlive `context`.
Status ConfigureTls(const ClusterConfig& config, SSL_CTX* context, std::string* problem);

}  // namespace npu_ipc::cluster
