#include "plugin/cluster/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;
using testing::Not;

class Kubeconfig : public testing::Test {
 protected:
  // A file whose one context joins `cluster` and `user`, given as flow mappings.
  std::string Write(const std::string& cluster, const std::string& user) {
    return WriteText(R"(
apiVersion: v1
kind: Config
preferences: {}
current-context: here
clusters:
- {name: other, cluster: {server: "https://other"}}
- {name: c, cluster: )" +
                     cluster + R"(}
contexts:
- {name: here, context: {cluster: c, user: u, namespace: work}}
- {name: elsewhere, context: {cluster: other}}
- {name: astray, context: {cluster: gone}}
users:
- {name: u, user: )" +
                     user + "}\n");
  }
  std::string WriteText(const std::string& text) {
    std::ofstream(directory_.Path("config")) << text;
    return directory_.Path("config");
  }

  TemporaryDirectory directory_;
};

TEST_F(Kubeconfig, TakesTheCurrentContext) {
  const auto config = LoadKubeconfig(Write(
      "{server: \"https://10.0.0.1:6443\", certificate-authority-data: Q0E=}", "{token: secret}"));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(ServerName(*config), "https://10.0.0.1:6443");
  EXPECT_EQ(config->base_path, "");
  EXPECT_EQ(config->default_namespace, "work");
  EXPECT_EQ(config->certificate_authority.Read()->Reveal(), "CA");
  EXPECT_EQ(config->token.Read()->Reveal(), "secret");
  EXPECT_TRUE(config->client_certificate.empty());
  EXPECT_THAT(config->source, HasSubstr("'here'"));
}

TEST_F(Kubeconfig, TakesAnotherContextByName) {
  const std::string path = Write("{server: \"https://h\"}", "{token: t}");
  const auto config = LoadKubeconfig(path, {.context = "elsewhere"});
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(ServerName(*config), "https://other:443");
  EXPECT_TRUE(config->token.empty());
}

TEST_F(Kubeconfig, ReadsFilesRelativeToItself) {
  std::ofstream(directory_.Path("ca.pem")) << "CA\n";
  std::ofstream(directory_.Path("token")) << "one\n";
  const auto config =
      LoadKubeconfig(Write("{server: \"https://h\", certificate-authority: ca.pem}",
                           "{token: ignored, tokenFile: token, client-certificate: /abs/c.pem, "
                           "client-key-data: S0VZ}"));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->certificate_authority.path, directory_.Path("ca.pem"));
  EXPECT_EQ(config->token.Read()->Reveal(), "one");
  EXPECT_EQ(config->client_certificate.path, "/abs/c.pem");
  EXPECT_EQ(config->client_key.Read()->Reveal(), "KEY");
}

TEST_F(Kubeconfig, ReadsEveryFormOfServer) {
  const struct {
    const char* server;
    const char* name;
    const char* base_path;
  } kForms[] = {{"https://h", "https://h:443", ""},
                {"https://h/", "https://h:443", ""},
                {"https://h:1/k8s/clusters/c-1/", "https://h:1", "/k8s/clusters/c-1"},
                {"https://[fd00::1]:6443", "https://[fd00::1]:6443", ""},
                {"https://[::1]", "https://[::1]:443", ""},
                {"http://127.0.0.1:8001", "http://127.0.0.1:8001", ""}};
  for (const auto& form : kForms) {
    const auto config =
        LoadKubeconfig(Write("{server: \"" + std::string(form.server) + "\"}", "{}"));
    ASSERT_TRUE(config.ok()) << config.status().message();
    EXPECT_EQ(ServerName(*config), form.name);
    EXPECT_EQ(config->base_path, form.base_path);
  }
}

TEST_F(Kubeconfig, RefusesAServerThatIsNone) {
  for (const char* server :
       {"", "h:6443", "ftp://h", "https://", "https://h:", "https://h:0", "https://h:x",
        "https://[::1", "https://[::1]x", "https://u@h", "https://h?q", "https://h:99999"}) {
    const auto config = LoadKubeconfig(Write("{server: \"" + std::string(server) + "\"}", "{}"));
    ASSERT_FALSE(config.ok()) << server;
    EXPECT_EQ(config.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(config.status().message(), HasSubstr("cluster 'c'"));
  }
}

TEST_F(Kubeconfig, SkipsVerificationOnlyWhenAllowed) {
  const std::string path =
      Write("{server: \"https://h\", insecure-skip-tls-verify: true}", "{token: t}");
  const auto refused = LoadKubeconfig(path);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("insecure-skip-tls-verify"));
  const auto allowed = LoadKubeconfig(path, {.allow_insecure_skip_tls_verify = true});
  ASSERT_TRUE(allowed.ok());
  EXPECT_TRUE(allowed->skip_server_verification);
}

TEST_F(Kubeconfig, RefusesWhatItWouldOnlyHalfDo) {
  const struct {
    const char* cluster;
    const char* user;
    const char* named;
  } kRefused[] = {{"{server: \"https://h\"}", "{exec: {command: aws}}", "'exec'"},
                  {"{server: \"https://h\"}", "{auth-provider: {name: oidc}}", "'auth-provider'"},
                  {"{server: \"https://h\"}", "{username: a, password: b}", "'username'"},
                  {"{server: \"https://h\"}", "{token: t, as: admin}", "'as'"},
                  {"{server: \"https://h\", proxy-url: \"http://p\"}", "{}", "'proxy-url'"},
                  {"{server: \"https://h\", tls-server-name: n}", "{}", "'tls-server-name'"}};
  for (const auto& refused : kRefused) {
    const auto config = LoadKubeconfig(Write(refused.cluster, refused.user));
    ASSERT_FALSE(config.ok()) << refused.named;
    EXPECT_EQ(config.status().code(), StatusCode::kUnimplemented);
    EXPECT_THAT(config.status().message(), HasSubstr(refused.named));
  }
}

TEST_F(Kubeconfig, NeverSendsACredentialInTheClear) {
  const auto config = LoadKubeconfig(Write("{server: \"http://h\"}", "{token: t}"));
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.status().message(), HasSubstr("https"));
}

TEST_F(Kubeconfig, NamesWhatIsMissing) {
  const std::string path = Write("{server: \"https://h\"}", "{client-certificate: c}");
  EXPECT_THAT(LoadKubeconfig(path).status().message(), HasSubstr("client-key"));
  const auto astray = LoadKubeconfig(path, {.context = "astray"});
  EXPECT_EQ(astray.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(astray.status().message(), HasSubstr("cluster 'gone'"));
  const auto unknown = LoadKubeconfig(path, {.context = "nowhere"});
  EXPECT_EQ(unknown.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(unknown.status().message(), HasSubstr("context 'nowhere'"));
  EXPECT_EQ(LoadKubeconfig(directory_.Path("none")).status().code(), StatusCode::kNotFound);
}

TEST_F(Kubeconfig, SurvivesAnyText) {
  for (const char* text :
       {"", "~", "[]", "a: [", "current-context: here", "current-context: {a: b}",
        "current-context: x\ncontexts: 5", "current-context: x\ncontexts: [5, {name: x}]",
        "current-context: x\ncontexts: [{name: x, context: 7}]",
        "current-context: x\ncontexts: [{name: x, context: {cluster: [1]}}]",
        "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, "
        "cluster: text}]"}) {
    const auto config = LoadKubeconfig(WriteText(text));
    EXPECT_FALSE(config.ok()) << text;
    EXPECT_THAT(config.status().message(), HasSubstr(directory_.Path("config"))) << text;
  }
}

TEST_F(Kubeconfig, NeverQuotesTheFile) {
  const auto broken = LoadKubeconfig(WriteText("users:\n- token: do-not-show\n  - x: [\n"));
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.status().message(), HasSubstr("line 3"));
  EXPECT_THAT(broken.status().message(), Not(HasSubstr("do-not-show")));
  const auto data = LoadKubeconfig(Write(
      "{server: \"https://h\"}", "{client-certificate: c, client-key-data: \"do not show!\"}"));
  EXPECT_THAT(data.status().message(), HasSubstr("client-key-data is not base64"));
  EXPECT_THAT(data.status().message(), Not(HasSubstr("show")));
}

}  // namespace
}  // namespace npu_ipc::cluster
