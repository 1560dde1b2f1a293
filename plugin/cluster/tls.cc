#include "plugin/cluster/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <vector>

namespace npu_ipc::cluster {
namespace {

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

Status Invalid(const Credential& credential, const std::string& kind, const std::string& problem) {
  const std::string where = credential.path.empty() ? "" : " " + credential.path;
  return {StatusCode::kInvalidArgument, kind + where + " " + problem};
}

BioPtr OpenText(const Secret& text) {
  return BioPtr(BIO_new_mem_buf(text.Reveal().data(), static_cast<int>(text.Reveal().size())));
}

Result<std::vector<CertificatePtr>> ReadCertificates(const Credential& credential,
                                                     const std::string& kind) {
  const Result<Secret> text = credential.Read();
  if (!text.ok()) return text.status().WithContext(kind);
  const BioPtr bio = OpenText(*text);
  std::vector<CertificatePtr> certificates;
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next);
  }
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  if (certificates.empty()) return Invalid(credential, kind, "holds no PEM certificate");
  return certificates;
}

// Instead of OpenSSL's prompt on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

Status TrustAuthority(const ClusterConfig& config, SSL_CTX* context) {
  if (config.certificate_authority.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) == 1) return Status::Ok();
    return {StatusCode::kInternal, "the system's certificate authorities cannot be loaded"};
  }
  Result<std::vector<CertificatePtr>> authorities =
      ReadCertificates(config.certificate_authority, "certificate authority");
  if (!authorities.ok()) return authorities.status();
  for (const CertificatePtr& authority : *authorities) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get());
  }
  return Status::Ok();
}

Status ShowClientCertificate(const ClusterConfig& config, SSL_CTX* context) {
  if (config.client_certificate.empty()) return Status::Ok();
  Result<std::vector<CertificatePtr>> chain =
      ReadCertificates(config.client_certificate, "client certificate");
  if (!chain.ok()) return chain.status();
  const Result<Secret> key_text = config.client_key.Read();
  if (!key_text.ok()) return key_text.status().WithContext("client key");
  const KeyPtr key(
      PEM_read_bio_PrivateKey(OpenText(*key_text).get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    ERR_clear_error();
    return Invalid(config.client_key, "client key", "holds no PEM key without a password");
  }
  bool accepted = SSL_CTX_use_certificate(context, chain->front().get()) == 1;
  for (size_t i = 1; accepted && i < chain->size(); ++i) {
    accepted = SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) == 1;
  }
  // Refuses a key that is not the certificate's.
  if (!accepted || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    ERR_clear_error();
    return Invalid(config.client_key, "client key", "does not belong to the client certificate");
  }
  return Status::Ok();
}

int KeepProblem(int accepted, X509_STORE_CTX* verification) {
  if (accepted == 1) return 1;
  const SSL* ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* problem = static_cast<std::string*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  *problem = X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification));
  return 0;
}

bool DemandHost(const std::string& host, X509_VERIFY_PARAM* demands) {
  unsigned char address[sizeof(in6_addr)];
  if (::inet_pton(AF_INET, host.c_str(), address) == 1 ||
      ::inet_pton(AF_INET6, host.c_str(), address) == 1) {
    return X509_VERIFY_PARAM_set1_ip_asc(demands, host.c_str()) == 1;
  }
  X509_VERIFY_PARAM_set_hostflags(
      demands, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(demands, host.data(), host.size()) == 1;
}

}  // namespace

Status ConfigureTls(const ClusterConfig& config, SSL_CTX* context, std::string* problem) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (config.skip_server_verification) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  } else {
    if (Status status = TrustAuthority(config, context); !status.ok()) return status;
    if (!DemandHost(config.host, SSL_CTX_get0_param(context))) {
      return {StatusCode::kInvalidArgument, "'" + config.host + "' is no host name"};
    }
    SSL_CTX_set_app_data(context, problem);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, KeepProblem);
  }
  return ShowClientCertificate(config, context);
}

}  // namespace npu_ipc::cluster
