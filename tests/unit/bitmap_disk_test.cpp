#include "bitmap/bitmap_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/unit/bitmap_test_support.h"

namespace drseed::bitmap {
namespace {

class BitmapDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "drseed-bitmap.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/r0.bitmap";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A child process that holds the file open for writing until it is killed.
  pid_t holder() {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      const auto file = open_bitmap_file(path_, OpenMode::kReadWrite);
      const char told = file ? 'y' : 'n';
      (void)!write(ready[1], &told, 1);
      pause();
      _exit(0);
    }
    char told = 0;
    EXPECT_EQ(read(ready[0], &told, 1), 1);
    EXPECT_EQ(told, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
  }

  std::string folder_, path_;
};

TEST_F(BitmapDisk, NewFileIsSparseAndOnlyForItsOwner) {
  FileInfo info = info_of(1);
  info.volume_bytes = std::uint64_t{1} << 40;
  ASSERT_TRUE(create_bitmap_file(path_, info, state_with({0, 1})));
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), Layout(info).file_bytes());
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  auto file = open_bitmap_file(path_, OpenMode::kReadWrite);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->damage().empty());
  EXPECT_EQ(file->load(SlotId{1}).dirty_count(), 0U);
}

TEST_F(BitmapDisk, ExistingFileIsNeverReplaced) {
  ASSERT_TRUE(create_bitmap_file(path_, info_of(10), state_with({0})));
  const auto again = create_bitmap_file(path_, info_of(10), state_with({0}));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kRefused);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(BitmapDisk, TwoWritersAtOnceAreRefusedAndAKilledOnesLockIsGone) {
  ASSERT_TRUE(create_bitmap_file(path_, info_of(10), state_with({0})));
  const auto child = holder();
  const auto second = open_bitmap_file(path_, OpenMode::kReadWrite);
  const auto reader = open_bitmap_file(path_, OpenMode::kReadOnly);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kRefused);
  EXPECT_FALSE(reader);
  EXPECT_TRUE(open_bitmap_file(path_, OpenMode::kReadWrite));
}

TEST_F(BitmapDisk, ReadersShareAndNeverWrite) {
  ASSERT_TRUE(create_bitmap_file(path_, info_of(10), state_with({0})));
  auto first = open_bitmap_file(path_, OpenMode::kReadOnly);
  auto second = open_bitmap_file(path_, OpenMode::kReadOnly);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(open_bitmap_file(path_, OpenMode::kReadWrite));
  EXPECT_FALSE(first->commit_log({}));
}

TEST_F(BitmapDisk, WhatIsNoRegularFileOrMissingIsAnError) {
  EXPECT_EQ(open_bitmap_file(folder_, OpenMode::kReadOnly).error().code, ErrorCode::kUsage);
  EXPECT_EQ(open_bitmap_file(path_, OpenMode::kReadOnly).error().code, ErrorCode::kEnvironment);
}

}  // namespace
}  // namespace drseed::bitmap
