// A kubeconfig and its files that are written anew while a client runs, over real TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "plugin/cluster/api_client.h"
#include "plugin/cluster/kubeconfig.h"
#include "plugin/cluster/reply.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;
using testing::Not;

const ObjectPath kNode{kNodes, "", "node-1"};

std::string Base64(const std::string& text) {
  std::string encoded((text.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  encoded.resize(static_cast<size_t>(length));
  return encoded;
}

class KubeconfigRotation : public testing::Test {
 protected:
  // A server that this one user can reach.
  void Serve(const FakeApiServerOptions& options = {}) {
    server_ = std::make_unique<FakeApiServer>(options);
    server_->Put(kNode, Json::object());
    WriteFile("ca.crt", server_->authority().certificate());
  }
  void WriteFile(const std::string& name, const std::string& text) {
    std::ofstream(directory_.Path(name + ".next")) << text;
    std::filesystem::rename(directory_.Path(name + ".next"), directory_.Path(name));
  }
  // Its one user, and how the server is known, given as flow mappings' members.
  void WriteKubeconfig(const std::string& user,
                       const std::string& authority = "certificate-authority: ca.crt") {
    WriteFile("config",
              "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
              " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:" +
                  std::to_string(server_->port()) + "', " + authority +
                  "}}], users: [{name: u, user: {" + user + "}}]}\n");
  }
  // As a daemon that has read the kubeconfig at its start, and never looks at it itself again.
  void Start() {
    const Result<ClusterConfig> config = LoadKubeconfig(directory_.Path("config"));
    ASSERT_TRUE(config.ok()) << config.status().message();
    client_ = std::make_unique<ApiClient>(*config);
  }
  Status Try() { return client_->Get(kNode).status; }

  const TemporaryDirectory directory_;
  std::unique_ptr<FakeApiServer> server_;
  std::unique_ptr<ApiClient> client_;
};

TEST_F(KubeconfigRotation, OfTheToken) {
  Serve();
  WriteKubeconfig("token: token-1");
  Start();
  EXPECT_TRUE(Try().ok());
  server_->SetToken("token-2");
  EXPECT_EQ(Try().code(), StatusCode::kPermissionDenied);
  WriteKubeconfig("token: token-2");
  EXPECT_TRUE(Try().ok());
}

TEST_F(KubeconfigRotation, OfTheTokenWhileItIsRefused) {
  Serve();
  WriteKubeconfig("token: token-1");
  Start();
  server_->SetToken("token-2");
  server_->Inject({.kind = FakeFault::Kind::kHold});
  std::thread administrator([&] {
    ASSERT_TRUE(server_->WaitForRequests("get", 1));
    WriteKubeconfig("token: token-2");
    server_->Release();
  });
  const Status status = Try();
  administrator.join();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(server_->Requests().size(), 2U);
}

TEST_F(KubeconfigRotation, OfTheTokensFileAndFromTheOneToTheOther) {
  Serve();
  WriteFile("token", "token-1\n");
  WriteKubeconfig("tokenFile: token");
  Start();
  EXPECT_TRUE(Try().ok());
  server_->SetToken("token-2");
  WriteFile("token", "token-2\n");
  EXPECT_TRUE(Try().ok());
  server_->SetToken("token-3");
  WriteKubeconfig("token: token-3");
  EXPECT_TRUE(Try().ok());
}

TEST_F(KubeconfigRotation, OfTheClientCertificatesFiles) {
  Serve({.demand_client_certificate = true});
  server_->SetToken("");
  const TestIdentity before = TestAuthority().Issue({"DNS:us"});
  WriteFile("us.crt", before.certificate);
  WriteFile("us.key", before.key);
  WriteKubeconfig("client-certificate: us.crt, client-key: us.key");
  Start();
  EXPECT_EQ(Try().code(), StatusCode::kUnavailable);
  const TestIdentity us = server_->authority().Issue({"DNS:us"});
  WriteFile("us.crt", us.certificate);
  EXPECT_THAT(Try().message(), HasSubstr("does not belong"));
  WriteFile("us.key", us.key);
  const Status status = Try();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(KubeconfigRotation, OfWhatItHoldsItself) {
  Serve({.demand_client_certificate = true});
  server_->SetToken("");
  TestAuthority other;
  const auto user = [](const TestIdentity& identity) {
    return "client-certificate-data: " + Base64(identity.certificate) +
           ", client-key-data: " + Base64(identity.key);
  };
  WriteKubeconfig(user(other.Issue({"DNS:us"})),
                  "certificate-authority-data: " + Base64(other.certificate()));
  Start();
  EXPECT_THAT(Try().message(), HasSubstr("certificate is refused"));
  const std::string authority =
      "certificate-authority-data: " + Base64(server_->authority().certificate());
  WriteKubeconfig(user(other.Issue({"DNS:us"})), authority);
  EXPECT_THAT(Try().message(), Not(HasSubstr("certificate is refused")));
  WriteKubeconfig(user(server_->authority().Issue({"DNS:us"})), authority);
  const Status status = Try();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(KubeconfigRotation, OfTheAuthoritysFile) {
  Serve();
  WriteKubeconfig("token: token-1");
  WriteFile("ca.crt", TestAuthority().certificate());
  Start();
  EXPECT_THAT(Try().message(), HasSubstr("certificate is refused"));
  WriteFile("ca.crt", server_->authority().certificate());
  EXPECT_TRUE(Try().ok());
}

TEST_F(KubeconfigRotation, OneThatIsNoneFailsEachCallAndNothingElse) {
  Serve();
  WriteKubeconfig("token: token-1");
  Start();
  WriteFile("config", "{current-context: c}");
  const Status status = Try();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("kubeconfig " + directory_.Path("config")));
  EXPECT_TRUE(server_->Requests().empty());
  std::filesystem::remove(directory_.Path("config"));
  EXPECT_EQ(Try().code(), StatusCode::kUnavailable);
  WriteKubeconfig("token: token-1");
  EXPECT_TRUE(Try().ok());
}

}  // namespace
}  // namespace npu_ipc::cluster
