// Programs that know nothing of us, in pods of their own, with the preload library in them.
#include <signal.h>

#include <chrono>
#include <tuple>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::AnyOf;
using testing::Combine;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using testing::UnorderedElementsAre;
using testing::Values;
using testing::ValuesIn;

constexpr char kLibrary[] = "/usr/local/lib/npu-ipc/libnpu_ipc_preload.so";
constexpr char kDefault[] = "0";
constexpr char kPidValidationOff[] = "1";  // of an export
constexpr char kEnablePeerAccess[] = "1";  // of an import

// Whose programs are in tests/integration/unmodified.
enum class Language { kC, kCpp, kPython };

std::vector<std::string> Command(Language language) {
  const std::string programs = "/usr/local/lib/npu-ipc-tests/";
  if (language == Language::kC) return {programs + "unmodified-linked"};
  if (language == Language::kCpp) return {programs + "unmodified-loading"};
  return {"/usr/bin/python3", programs + "unmodified-scripted.py"};
}

// A sanitizer's library would have to come before ours in an interpreter that lacks it.
std::vector<Language> Languages() {
#ifdef NPU_IPC_SANITIZE
  return {Language::kC, Language::kCpp};
#else
  return {Language::kC, Language::kCpp, Language::kPython};
#endif
}

class Preload : public NodeTest {
 protected:
  RemoteParty Program(Language language, const PodRecord& pod, const nlohmann::json& allocation,
                      bool preload = true) {
    std::map<std::string, std::string> environment = {
        {"ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0"}};
    if (preload) environment["LD_PRELOAD"] = kLibrary;
    auto container = node().Run(pod, allocation, Command(language), environment);
    EXPECT_TRUE(container.ok()) << container.status().message();
    RemoteParty program(pod, std::move(container).value());
    EXPECT_THAT(program.Do("device 0"), IsOk());
    return program;
  }
  RemoteParty Program(Language language, const std::string& name, const std::string& group,
                      int device, bool preload = true) {
    return Program(language, NewPod(name, group), Allocation(device), preload);
  }
  RemoteParty Exporter(Language language = Language::kC, int device = 0) {
    RemoteParty exporter = Program(language, "exporter", "weights", device);
    EXPECT_THAT(exporter.Do("malloc " + std::to_string(kRegionBytes)), IsOk());
    EXPECT_THAT(exporter.Do("write 100"), IsOk());
    return exporter;
  }
  RemoteParty Importer(Language language = Language::kC, int device = 1,
                       const std::string& name = "importer") {
    return Program(language, name, "weights", device);
  }

  // A key that the program has exported, with its errno left alone.
  static std::string Export(RemoteParty& exporter, const std::string& flags,
                            const std::string& command = "export ") {
    const Answer answer = exporter.Do(command + flags);
    EXPECT_THAT(answer, IsOk());
    EXPECT_EQ(answer["errno"], "42");
    return answer["key"];
  }

  void EndBroker() {
    node().broker().Signal(SIGKILL);
    ASSERT_TRUE(node().broker().Wait().ok());
  }
};

class AnyLanguage : public Preload,
                    public testing::WithParamInterface<std::tuple<Language, const char*>> {};

TEST_P(AnyLanguage, SharesByKeyAcrossPods) {
  const auto [language, flags] = GetParam();
  RemoteParty exporter = Exporter(language);
  RemoteParty importer = Importer(language);
  const std::string key = Export(exporter, flags);
  EXPECT_THAT(AuditFile(key), HasSubstr("need_set_wlist=1")) << "hardened where it was off";

  EXPECT_THAT(importer.Do("import " + key + " " + kEnablePeerAccess)["errno"], "42");
  EXPECT_THAT(AuditedPids(key), UnorderedElementsAre(exporter.host_pid(), importer.host_pid()));
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
  EXPECT_THAT(importer.Do("write 200"), IsOk());
  EXPECT_THAT(exporter.Do("read"), IsPattern(200));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));

  EXPECT_EQ(importer.Do("close " + key)["errno"], "42");
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));
  EXPECT_EQ(exporter.Do("close " + key)["errno"], "42");
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 0));
  EXPECT_THAT(LiveKeys(), Not(Contains(key)));
}

TEST_P(AnyLanguage, ExportsUnderALockThatAnotherThreadNeeds) {
  const auto [language, flags] = GetParam();
  RemoteParty exporter = Exporter(language);
  RemoteParty importer = Importer(language);
  const std::string key = Export(exporter, flags, "export-locked ");
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
}

TEST_P(AnyLanguage, ForksAfterItHasExported) {
  const auto [language, flags] = GetParam();
  RemoteParty exporter = Exporter(language);
  RemoteParty importer = Importer(language);
  const std::string key = Export(exporter, flags);
  EXPECT_NE(exporter.Do("fork " + key)["closed"], "0") << "the child has exported nothing";
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
  EXPECT_THAT(importer.Do("close " + key), IsOk());
  EXPECT_THAT(exporter.Do("close " + key), IsOk());
}

INSTANTIATE_TEST_SUITE_P(Programs, AnyLanguage,
                         Combine(ValuesIn(Languages()), Values(kDefault, kPidValidationOff)));

TEST_F(Preload, SharesWithMany) {
  RemoteParty exporter = Exporter(Language::kCpp);
  const std::string key = Export(exporter, kPidValidationOff);
  std::vector<RemoteParty> importers;
  for (int device = 1; device < 5; ++device) {
    importers.push_back(Importer(Language::kC, device, "importer-" + std::to_string(device)));
    EXPECT_THAT(importers.back().Do("import " + key + " 1"), IsOk());
    EXPECT_THAT(importers.back().Do("read"), IsPattern(100));
  }
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 4));
  importers[0].Kill();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 3));
  EXPECT_THAT(importers[1].Do("read"), IsPattern(100));
}

class PreloadOnSharedCards : public Preload {
 protected:
  std::vector<std::string> PluginFlags() const override {
    return {"--sharing-replicas=2", "--sharing-manage-device-share", "--health-poll-interval=20ms"};
  }
  size_t Replicas() const override { return 2; }
};

TEST_F(PreloadOnSharedCards, SharesOnOneDevice) {
  std::vector<RemoteParty> programs;
  for (const char* id : {"npu-0::0", "npu-0::1"}) {
    const auto allocation = node().Allocate({id});
    ASSERT_TRUE(allocation.ok()) << allocation.status().message();
    programs.push_back(Program(Language::kC, NewPod(id, "weights"), *allocation));
  }
  EXPECT_THAT(programs[0].Do("malloc " + std::to_string(kRegionBytes)), IsOk());
  EXPECT_THAT(programs[0].Do("write 7"), IsOk());
  const std::string key = Export(programs[0], kPidValidationOff);
  EXPECT_THAT(programs[1].Do("import " + key + " 1"), IsOk());
  EXPECT_THAT(programs[1].Do("read"), IsPattern(7));
}

// What a pair of programs hears, from export to close, whatever it is. Pids and keys are left out.
std::vector<std::string> Transcript(RemoteParty& exporter, RemoteParty& importer) {
  std::vector<std::string> lines;
  const auto hear = [&](RemoteParty& program, const std::string& command) {
    Answer answer = program.Do(command);
    lines.push_back(answer.line.substr(0, answer.line.find(" key=")));
    return answer;
  };
  std::string many;
  for (int i = 0; i < 40; ++i) many += " " + std::to_string(100000 + i);
  hear(exporter, "malloc " + std::to_string(kRegionBytes));
  for (const std::string flags : {"0", "1", "2"}) {
    const std::string key = hear(exporter, "export " + flags)["key"];
    hear(exporter, "allow " + key + " 1");
    hear(exporter, "allow " + key + many);
    hear(importer, "import " + key + " 0");
    hear(importer, "import " + key + " 1");
    hear(importer, "import nonsense 0");
    hear(importer, "close " + key);
    hear(exporter, "close " + key);
    hear(exporter, "close " + key);
  }
  return lines;
}

class PassesThrough : public Preload {
 protected:
  // As the programs of `group` hear it, with the library or without.
  std::vector<std::string> Run(const std::string& group, bool preload) {
    RemoteParty exporter = Program(Language::kC, "exporter", group, 0, preload);
    RemoteParty importer = Program(Language::kC, "importer", group, 1, preload);
    std::vector<std::string> heard = Transcript(exporter, importer);
    exporter.Kill();
    importer.Kill();
    return heard;
  }
};

TEST_F(PassesThrough, EveryCallInAPodWithoutTheAnnotation) {
  EXPECT_EQ(Run("", true), Run("", false));
}

TEST_F(PassesThrough, EveryCallWithoutABroker) {
  EndBroker();
  EXPECT_EQ(Run("weights", true), Run("weights", false));
}

TEST_F(PassesThrough, EveryCallOfAKeyThatNobodyPublished) {
  RemoteParty exporter = Program(Language::kC, "plain", "", 0);
  RemoteParty importer = Importer();
  EXPECT_THAT(exporter.Do("malloc " + std::to_string(kRegionBytes)), IsOk());
  const std::string key = Export(exporter, kPidValidationOff);
  const std::string denied = exporter.Do("export 0")["key"];
  EXPECT_EQ(importer.Do("import " + denied + " 0").status(), "507899");
  EXPECT_EQ(Metric("npu_ipc_broker_grants"), 0);
}

class PidValidationOff : public Preload {
 protected:
  std::vector<std::string> BrokerFlags() const override {
    return {"--policy-pid-validation-off-namespaces=team-a"};
  }
};

TEST_F(PidValidationOff, IsLeftToNamespacesThatMayHaveIt) {
  RemoteParty exporter = Exporter();
  RemoteParty importer = Importer();
  const std::string key = Export(exporter, kPidValidationOff);
  EXPECT_THAT(AuditFile(key), HasSubstr("need_set_wlist=0"));
  EXPECT_TRUE(WaitUntil([this] {
    return node().Log("broker").find("any process of the node can import the region") !=
           std::string::npos;
  })) << node().Log("broker");
  EXPECT_THAT(importer.Do("import " + key + " 1"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
}

TEST_F(Preload, TellsTheDriverOfMorePidsThanACallTakes) {
  RemoteParty exporter = Exporter();
  const std::string key = Export(exporter, kDefault);
  std::string pids;
  std::vector<int> expected;
  for (int pid = 100000; pid < 100062; ++pid) {
    pids += " " + std::to_string(pid);
    expected.push_back(pid);
  }
  // The exporter itself, which the driver skips, would be alone in the last call.
  const std::string own = exporter.Do("tgid")["pid"];
  EXPECT_EQ(own, std::to_string(exporter.host_pid()));
  EXPECT_EQ(exporter.Do("allow " + key + pids + " " + own)["errno"], "42");
  EXPECT_THAT(AuditedPids(key), IsSupersetOf(expected));
}

TEST_F(Preload, TranslatesAPidOfAnotherNamespace) {
  RemoteParty exporter = Exporter();
  RemoteParty importer = Importer();
  const std::string key = Export(exporter, kDefault);
  EXPECT_NE(importer.Do("import nonsense 0").status(), "") << "the broker knows it from now on";
  const std::string own = importer.Do("pid")["pid"];
  EXPECT_EQ(own, "1");
  EXPECT_THAT(exporter.Do("allow " + key + " " + own), IsOk());
  EXPECT_THAT(AuditedPids(key), UnorderedElementsAre(exporter.host_pid(), importer.host_pid()));

  // Now there are two.
  RemoteParty other = Importer(Language::kC, 2, "other");
  EXPECT_NE(other.Do("import nonsense 0").status(), "");
  EXPECT_THAT(exporter.Do("allow " + key + " " + own), IsOk());
  EXPECT_THAT(AuditedPids(key), UnorderedElementsAre(exporter.host_pid(), importer.host_pid(), 1));
}

TEST_F(Preload, RepairsABareTgidThatTheDriverDoesNotTell) {
  RemoteParty program = Importer();
  RemoteParty plain = Program(Language::kC, "plain", "weights", 2, false);
  node().driver().Signal(SIGKILL);
  ASSERT_TRUE(node().driver().Wait().ok());
  EXPECT_EQ(plain.Do("tgid")["pid"], "-1");
  EXPECT_EQ(program.Do("tgid")["pid"], std::to_string(program.host_pid()));
}

TEST_F(Preload, ReachesADeviceThatTheContainerDoesNotHave) {
  RemoteParty exporter = Exporter();
  const std::string key = Export(exporter, kDefault);
  RemoteParty plain = Program(Language::kC, "plain", "weights", 2, false);
  EXPECT_THAT(exporter.Do("allow " + key + " " + plain.Do("tgid")["pid"]), IsOk());
  EXPECT_NE(plain.Do("import " + key + " " + kEnablePeerAccess).status(), "")
      << "the runtime looks for a device that this container does not have";
  RemoteParty importer = Importer();
  EXPECT_THAT(importer.Do("import " + key + " " + kEnablePeerAccess), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
}

TEST_F(Preload, ClosesWithoutWaitingForTheBroker) {
  RemoteParty exporter = Exporter();
  RemoteParty importer = Importer();
  const std::string key = Export(exporter, kDefault);
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  node().broker().Signal(SIGSTOP);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_THAT(importer.Do("close " + key), IsOk());
  EXPECT_THAT(exporter.Do("close " + key), IsOk());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(900));
  node().broker().Signal(SIGCONT);
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 0));
}

TEST_F(Preload, OutlivesTheBroker) {
  RemoteParty exporter = Exporter();
  RemoteParty importer = Importer();
  const std::string key = Export(exporter, kPidValidationOff);
  EndBroker();
  ASSERT_TRUE(node().StartBroker().ok());
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
  EXPECT_THAT(importer.Do("close " + key), IsOk());
  EXPECT_THAT(exporter.Do("close " + key), IsOk());
}

TEST_F(Preload, TellsTheBrokerThatComesBackOfWhatWasExportedMeanwhile) {
  RemoteParty exporter = Exporter();
  RemoteParty importer = Importer();
  const std::string first = Export(exporter, kDefault);
  EXPECT_THAT(exporter.Do("close " + first), IsOk());
  EndBroker();
  const std::string key = Export(exporter, kDefault);
  ASSERT_TRUE(node().StartBroker().ok());
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
}

TEST_F(Preload, SharesWithinAPodWhateverItsRole) {
  const PodRecord pod = NewPod("pair", "weights:exporter");
  RemoteParty exporter = Program(Language::kC, pod, Allocation(0));
  RemoteParty importer = Program(Language::kC, pod, Allocation(1));
  EXPECT_THAT(exporter.Do("malloc " + std::to_string(kRegionBytes)), IsOk());
  EXPECT_THAT(exporter.Do("write 100"), IsOk());
  const std::string key = Export(exporter, kPidValidationOff);
  EXPECT_THAT(AuditFile(key), HasSubstr("need_set_wlist=1"));
  EXPECT_THAT(importer.Do("import " + key + " 1"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
}

TEST_F(Preload, LeavesItsOwnToAPodThatMayNotExport) {
  RemoteParty exporter = Program(Language::kC, "importer-only", "weights:importer", 0);
  EXPECT_THAT(exporter.Do("malloc " + std::to_string(kRegionBytes)), IsOk());
  const std::string key = Export(exporter, kPidValidationOff);
  EXPECT_THAT(AuditFile(key), HasSubstr("need_set_wlist=0"));
  EXPECT_EQ(Metric("npu_ipc_broker_regions"), 0);
}

TEST_F(Preload, IsLetInByWhicheverGroupTheyShare) {
  RemoteParty exporter = Program(Language::kC, "exporter", "logs,weights:exporter", 0);
  EXPECT_THAT(exporter.Do("malloc " + std::to_string(kRegionBytes)), IsOk());
  EXPECT_THAT(exporter.Do("write 100"), IsOk());
  const std::string key = Export(exporter, kDefault);
  RemoteParty importer = Program(Language::kC, "importer", "other,weights", 1);
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
  RemoteParty stranger = Program(Language::kC, "stranger", "other", 2);
  EXPECT_EQ(stranger.Do("import " + key + " 0").status(), "507899");
}

class Rotating : public Preload {
 protected:
  std::vector<std::string> BrokerFlags() const override { return {"--share-rotate-drain=200ms"}; }
};

// The program goes on with the key that it has, wherever it has brought it.
TEST_F(Rotating, KeepsTheProgramsKeyGood) {
  PodRecord pod = {"team-a",
                   "exporter",
                   RandomUid(),
                   {{"npu-ipc.io/group", "weights"}, {"npu-ipc.io/revoke", "rotate"}}};
  TellBroker(pod);
  RemoteParty exporter = Program(Language::kC, pod, Allocation(0));
  EXPECT_THAT(exporter.Do("malloc " + std::to_string(kRegionBytes)), IsOk());
  EXPECT_THAT(exporter.Do("write 100"), IsOk());
  const std::string key = Export(exporter, kDefault);
  RemoteParty revoked = Importer(Language::kC, 1, "revoked");
  EXPECT_THAT(revoked.Do("import " + key + " 0"), IsOk());
  Annotate(revoked, "npu-ipc.io/group", "elsewhere");
  ASSERT_TRUE(WaitUntil([&] {
    const std::vector<std::string> live = LiveKeys();
    return live.size() == 1 && live.front() != key;
  }));
  EXPECT_NE(revoked.Do("read").status(), "") << "it was cut off";

  RemoteParty importer = Importer(Language::kC, 2);
  EXPECT_THAT(importer.Do("import " + key + " 0"), IsOk());
  EXPECT_THAT(importer.Do("read"), IsPattern(100));
  EXPECT_THAT(importer.Do("close " + key), IsOk());
  EXPECT_THAT(exporter.Do("close " + key), IsOk());
  EXPECT_TRUE(LiveKeys().empty());
}

}  // namespace
}  // namespace npu_ipc
