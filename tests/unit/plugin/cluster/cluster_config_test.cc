#include "plugin/cluster/cluster_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;
using testing::Not;

class InCluster : public testing::Test {
 protected:
  void Mount(const std::string& name, const std::string& content) {
    const std::string directory = root_.Path("var/run/secrets/kubernetes.io/serviceaccount");
    std::filesystem::create_directories(directory);
    std::ofstream(directory + "/" + name) << content;
  }
  void MountAll() {
    Mount("token", "token-1\n");
    Mount("ca.crt", "certificate\n");
    Mount("namespace", "npu-system\n");
  }
  Result<ClusterConfig> Load() {
    return InClusterConfig(root_.path(), [this](const char* name) -> std::optional<std::string> {
      const auto found = environment_.find(name);
      return found == environment_.end() ? std::nullopt : std::optional(found->second);
    });
  }

  TemporaryDirectory root_;
  std::map<std::string, std::string> environment_ = {{"KUBERNETES_SERVICE_HOST", "10.96.0.1"},
                                                     {"KUBERNETES_SERVICE_PORT", "443"}};
};

TEST_F(InCluster, ReadsWhatTheKubeletGives) {
  MountAll();
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(ServerName(*config), "https://10.96.0.1:443");
  EXPECT_TRUE(config->tls);
  EXPECT_FALSE(config->skip_server_verification);
  EXPECT_EQ(config->default_namespace, "npu-system");
  EXPECT_EQ(config->token.Read()->Reveal(), "token-1");
  EXPECT_EQ(config->certificate_authority.Read()->Reveal(), "certificate");
}

TEST_F(InCluster, ReadsATokenAgainAsItRotates) {
  MountAll();
  const auto config = Load();
  ASSERT_TRUE(config.ok());
  Mount("token", "token-2");
  EXPECT_EQ(config->token.Read()->Reveal(), "token-2");
}

TEST_F(InCluster, PutsAnIpv6AddressInBrackets) {
  MountAll();
  environment_["KUBERNETES_SERVICE_HOST"] = "fd00::1";
  const auto config = Load();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->host, "fd00::1");
  EXPECT_EQ(ServerName(*config), "https://[fd00::1]:443");
}

TEST_F(InCluster, SaysThatThisIsNoPod) {
  MountAll();
  for (const char* name : {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}) {
    const auto before = environment_;
    environment_.erase(name);
    const auto config = Load();
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.status().code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(config.status().message(), HasSubstr(name));
    environment_ = before;
  }
}

TEST_F(InCluster, RefusesAPortThatIsNone) {
  MountAll();
  for (const char* port : {"https", "0", "70000", "443 ", "tcp://10.96.0.1:443"}) {
    environment_["KUBERNETES_SERVICE_PORT"] = port;
    const auto config = Load();
    ASSERT_FALSE(config.ok()) << port;
    EXPECT_EQ(config.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(config.status().message(), HasSubstr(port));
  }
}

TEST_F(InCluster, NamesTheFileThatIsNotMounted) {
  const auto config = Load();
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(config.status().message(), HasSubstr(root_.path()));
  EXPECT_THAT(config.status().message(), HasSubstr("/token"));
  EXPECT_THAT(config.status().message(), HasSubstr("automountServiceAccountToken"));
}

TEST_F(InCluster, RefusesAnEmptyTokenAndNeverShowsOne) {
  MountAll();
  Mount("token", "\n");
  EXPECT_THAT(Load().status().message(), HasSubstr("token is empty"));
  Mount("token", "do-not-show");
  Mount("ca.crt", "");
  EXPECT_THAT(Load().status().message(), Not(HasSubstr("do-not-show")));
  EXPECT_THAT(Load().status().message(), HasSubstr("ca.crt is empty"));
}

}  // namespace
}  // namespace npu_ipc::cluster
