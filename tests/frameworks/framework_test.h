// What the tests of a framework start from: pods of a simulated node, with torch and torch_npu in
// their image, and the vendor's libraries that those need.
#pragma once

#include <map>
#include <string>

#include "tests/integration/node_test.h"

namespace npu_ipc {

enum class Injection { kNone, kPreload };

class FrameworkTest : public NodeTest {
 protected:
  std::map<std::string, std::string> ImageFiles() const override;

  // torch_party.py in a container of `pod`, which was given the node's n-th device: its device 0.
  // With kPreload the pod has LD_PRELOAD in its environment, as `inject: preload` gives it. Takes
  // commands once torch_npu is imported, which takes seconds: a test of several starts them all,
  // and then waits.
  RemoteParty StartTorch(const PodRecord& pod, int device, Injection injection,
                         const std::map<std::string, std::string>& environment = {});
  // Waits until it has imported torch_npu, and sets its device.
  static void WaitForTorch(RemoteParty& party);

  // Starts another process like it in the same container: it does what `beside COMMAND` says.
  static void StartBeside(RemoteParty& party);

  // A tensor with the pattern that starts with `first_word`, and torch_npu's own handle of it.
  static std::string Share(RemoteParty& exporter, const std::string& name, int first_word);
};

}  // namespace npu_ipc
