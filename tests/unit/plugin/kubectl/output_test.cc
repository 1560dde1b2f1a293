#include "plugin/kubectl/output.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

namespace npu_ipc::kubectl {
namespace {

using nlohmann::json;

std::string Printed(const json& document, Format format) {
  std::ostringstream out;
  PrintDocument(document, format, out);
  return out.str();
}

TEST(Output, JsonHasFourSpaces) {
  EXPECT_EQ(Printed({{"a", {1}}}, Format::kJson), "{\n    \"a\": [\n        1\n    ]\n}\n");
}

TEST(Output, YamlIsReadable) {
  const json document = {{"kind", "ShareList"},
                         {"items", {{{"node", "a"}, {"bytes", 4096}}}},
                         {"none", json::array()},
                         {"stale", true},
                         {"unknown", nullptr}};
  EXPECT_EQ(
      Printed(document, Format::kYaml),
      "items:\n  - bytes: 4096\n    node: a\nkind: ShareList\nnone: []\nstale: true\nunknown: ~\n");
}

TEST(Output, YamlKeepsStringsStrings) {
  for (const char* const text : {"", "true", "No", "12", "1e3", "null", "~", "a: b", "- x", "#",
                                 "with space", "0x10", "é", "y", "line\nbreak", "a,b"}) {
    const YAML::Node read = YAML::Load(Printed({{"text", text}}, Format::kYaml));
    EXPECT_EQ(read["text"].as<std::string>(), text);
    EXPECT_EQ(read["text"].Tag(), "!") << text << " is not quoted";
  }
}

}  // namespace
}  // namespace npu_ipc::kubectl
