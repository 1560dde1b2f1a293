#include "plugin/cluster/line_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace npu_ipc::cluster {
namespace {

using testing::ElementsAre;

class LineSplitterTest : public testing::Test {
 protected:
  bool FeedByteByByte(const std::string& text) {
    for (const char c : text) {
      if (!splitter_.Feed({&c, 1})) return false;
    }
    return true;
  }

  std::vector<std::string> lines_;
  int too_long_ = 0;
  LineSplitter splitter_{5,
                         [this](std::string_view line) {
                           lines_.emplace_back(line);
                           return line != "stop";
                         },
                         [this] { ++too_long_; }};
};

TEST_F(LineSplitterTest, CutsWholePieces) {
  EXPECT_TRUE(splitter_.Feed("a\nbc\n\n"));
  EXPECT_TRUE(splitter_.Feed("d"));
  EXPECT_TRUE(splitter_.Feed("e\nf"));
  EXPECT_THAT(lines_, ElementsAre("a", "bc", "de"));
}

TEST_F(LineSplitterTest, CutsSingleBytesTheSame) {
  EXPECT_TRUE(FeedByteByByte("a\nbc\n\nde\nf"));
  EXPECT_THAT(lines_, ElementsAre("a", "bc", "de"));
}

TEST_F(LineSplitterTest, DropsALineThatIsTooLongAndNothingElse) {
  const std::string text = "12345\n123456\nab\n1234567890\ncd\n";
  EXPECT_TRUE(splitter_.Feed(text));
  EXPECT_THAT(lines_, ElementsAre("12345", "ab", "cd"));
  EXPECT_EQ(too_long_, 2);
  lines_.clear();
  EXPECT_TRUE(FeedByteByByte(text));
  EXPECT_THAT(lines_, ElementsAre("12345", "ab", "cd"));
  EXPECT_EQ(too_long_, 4);
}

TEST_F(LineSplitterTest, SaysThatALineIsTooLongBeforeItEnds) {
  EXPECT_TRUE(splitter_.Feed("123"));
  EXPECT_TRUE(splitter_.Feed("456"));
  EXPECT_EQ(too_long_, 1);
  EXPECT_TRUE(splitter_.Feed(std::string(100, 'x')));
  EXPECT_EQ(too_long_, 1);
  EXPECT_TRUE(splitter_.Feed("\nok\n"));
  EXPECT_THAT(lines_, ElementsAre("ok"));
}

TEST_F(LineSplitterTest, StopsWhenToldTo) {
  EXPECT_FALSE(splitter_.Feed("a\nstop\nb\n"));
  EXPECT_THAT(lines_, ElementsAre("a", "stop"));
}

}  // namespace
}  // namespace npu_ipc::cluster
