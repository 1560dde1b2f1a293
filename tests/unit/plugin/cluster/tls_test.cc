// What proves the API server's identity, and ours, tried over real connections.
#include "plugin/cluster/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "plugin/cluster/api_client.h"
#include "plugin/cluster/reply.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;

const ObjectPath kNode{kNodes, "", "node-1"};

Status Try(FakeApiServer& server, const ClusterConfig& config) {
  server.Put(kNode, Json::object());
  return ApiClient(config).Get(kNode).status;
}

void ExpectRefused(FakeApiServer& server, const ClusterConfig& config, const char* reason) {
  const Status status = Try(server, config);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr(reason));
  EXPECT_TRUE(server.Requests().empty()) << "a request was sent all the same";
}

TEST(Tls, AcceptsAnAddressThatTheCertificateNames) {
  FakeApiServer server({.names = {"IP:127.0.0.1"}});
  EXPECT_TRUE(Try(server, server.Config()).ok());
}

TEST(Tls, AcceptsANameThatTheCertificateNames) {
  FakeApiServer server({.names = {"DNS:localhost"}});
  ClusterConfig config = server.Config();
  config.host = "localhost";
  const Status status = Try(server, config);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(Tls, RefusesAnAddressThatOnlyTheCommonNameHolds) {
  FakeApiServer server({.names = {"DNS:elsewhere", "IP:10.0.0.1"}});
  ExpectRefused(server, server.Config(), "IP address mismatch");
}

TEST(Tls, RefusesAnotherName) {
  FakeApiServer server({.names = {"DNS:elsewhere", "IP:127.0.0.1"}});
  ClusterConfig config = server.Config();
  config.host = "localhost";
  ExpectRefused(server, config, "hostname mismatch");
}

TEST(Tls, RefusesAnotherAuthority) {
  FakeApiServer server;
  ClusterConfig config = server.Config();
  config.certificate_authority.text = Secret(TestAuthority().certificate());
  ExpectRefused(server, config, "certificate");
}

TEST(Tls, TrustsTheSystemsRootsOnlyWhereNoAuthorityIsNamed) {
  TemporaryDirectory directory;
  FakeApiServer server;
  std::ofstream(directory.Path("roots.pem")) << server.authority().certificate();
  ::setenv("SSL_CERT_FILE", directory.Path("roots.pem").c_str(), 1);
  ClusterConfig config = server.Config();
  config.certificate_authority.text = Secret(TestAuthority().certificate());
  ExpectRefused(server, config, "certificate");
  config.certificate_authority = {};
  EXPECT_TRUE(Try(server, config).ok());
  ::unsetenv("SSL_CERT_FILE");
}

TEST(Tls, RefusesAnExpiredCertificate) {
  FakeApiServer server({.certificate_valid_seconds = -60});
  ExpectRefused(server, server.Config(), "expired");
}

TEST(Tls, LooksAtNothingWhenToldSo) {
  FakeApiServer server({.names = {"DNS:elsewhere"}});
  ClusterConfig config = server.Config();
  config.certificate_authority = {};
  config.skip_server_verification = true;
  EXPECT_TRUE(Try(server, config).ok());
}

TEST(Tls, ReadsARotatedAuthority) {
  TemporaryDirectory directory;
  FakeApiServer server;
  ClusterConfig config = server.Config();
  config.certificate_authority = {.path = directory.Path("ca.crt"), .text = {}};
  std::ofstream(directory.Path("ca.crt")) << TestAuthority().certificate();
  ApiClient client(config);
  EXPECT_EQ(client.Get(kNode).status.code(), StatusCode::kUnavailable);
  // As the root CA's ConfigMap holds them while one follows the other.
  std::ofstream(directory.Path("ca.crt"))
      << TestAuthority().certificate() << server.authority().certificate();
  EXPECT_EQ(client.Get(kNode).status.code(), StatusCode::kNotFound);
}

TEST(Tls, ShowsItsClientCertificate) {
  FakeApiServer server({.demand_client_certificate = true});
  ClusterConfig config = server.Config();
  config.token = {};
  EXPECT_EQ(Try(server, config).code(), StatusCode::kUnavailable);
  const TestIdentity us = server.authority().Issue({"DNS:us"});
  config.client_certificate.text = Secret(us.certificate);
  config.client_key.text = Secret(us.key);
  const Status status = Try(server, config);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(Tls, NamesACredentialThatIsNone) {
  TemporaryDirectory directory;
  FakeApiServer server;
  const TestIdentity us = server.authority().Issue({"DNS:us"});
  const TestIdentity other = server.authority().Issue({"DNS:other"});
  std::ofstream(directory.Path("junk")) << "junk";

  ClusterConfig config = server.Config();
  config.certificate_authority = {.path = directory.Path("junk"), .text = {}};
  Status status = Try(server, config);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(directory.Path("junk")));

  config = server.Config();
  config.client_certificate.text = Secret(us.certificate);
  config.client_key = {.path = directory.Path("junk"), .text = {}};
  EXPECT_THAT(Try(server, config).message(), HasSubstr("holds no PEM key"));
  config.client_key = {.path = {}, .text = Secret(other.key)};
  EXPECT_THAT(Try(server, config).message(), HasSubstr("does not belong"));
  config.client_key = {.path = directory.Path("gone"), .text = {}};
  EXPECT_THAT(Try(server, config).message(), HasSubstr(directory.Path("gone")));
}

}  // namespace
}  // namespace npu_ipc::cluster
