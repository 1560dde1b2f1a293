// A program in the place of kubectl: answers from files, and notes what it was asked.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::kubectl {

struct Ran {
  int exit_code = -1;
  std::string output;
  std::string error;
};

class FakeKubectlTest : public testing::Test {
 protected:
  FakeKubectlTest();
  ~FakeKubectlTest() override;

  // The cluster has a node with a broker on it, whose pod is called as the node is.
  void AddNode(const std::string& node, bool ready = true);
  // What brokers answer to a topic ("doctor"); @NODE@ stands for the node's name.
  void Answer(const std::string& topic, const std::string& document);
  // What one broker does instead: lines of sh.
  void Script(const std::string& node, const std::string& commands);
  // What a call with these words in it prints: lines of sh.
  void OnCall(const std::string& words, const std::string& commands);

  // A whole run of `kubectl npu`.
  Ran Npu(const std::vector<std::string>& arguments);

  // The command lines so far, and the most that ran at one time.
  std::vector<std::string> Calls() const;
  int MostAtOnce() const;

  const TemporaryDirectory directory_;

 private:
  void Write(const std::string& name, const std::string& text);
  std::string Read(const std::string& name) const;

  nlohmann::json pods_ = {{"items", nlohmann::json::array()}};
  int calls_known_ = 0;
};

}  // namespace npu_ipc::kubectl
