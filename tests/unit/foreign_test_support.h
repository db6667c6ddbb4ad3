#pragma once
// What the tests of foreign images share: a temporary folder in which images are made by the tools of others, and
// reading an image to its end, from a file or through a pipe.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "seed/foreign.h"

namespace drseed::seed {

constexpr std::size_t kReadMaxBytes = 64 << 20;

// Half random, a quarter text, the rest zeros: neither all stored nor all matches.
inline std::string make_disk(std::size_t size_bytes) {
  std::mt19937_64 random(size_bytes);
  std::string disk;
  while (disk.size() < size_bytes / 2) {
    const auto word = random();
    disk.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  for (std::size_t i = 0; disk.size() < size_bytes * 3 / 4; ++i) disk += std::to_string(i) + "\n";
  disk.resize(size_bytes);
  return disk;
}

struct Outcome {
  std::string bytes;
  std::string format;
  std::string content_name;
  std::optional<std::uint64_t> size_bytes;
  std::optional<Error> error;
  bool opened = false;
};

inline Outcome read_all(std::unique_ptr<FdSource> source) {
  Outcome outcome;
  auto image = open_foreign(std::move(source));
  if (!image) {
    outcome.error = image.error();
    return outcome;
  }
  outcome.opened = true;
  outcome.format = image->format;
  outcome.content_name = image->content_name;
  outcome.size_bytes = image->size_bytes;
  std::vector<std::uint8_t> chunk(100'000);
  while (outcome.bytes.size() < kReadMaxBytes) {
    const auto got = image->bytes->read(chunk);
    if (!got) {
      outcome.error = got.error();
      return outcome;
    }
    if (*got == 0) return outcome;
    outcome.bytes.append(reinterpret_cast<const char*>(chunk.data()), *got);
  }
  return outcome;
}

class ForeignTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);  // a refused pipe is closed before its end
    auto name = (std::filesystem::temp_directory_path() / "drseed_foreign_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  void write(const std::string& name, std::string_view content) const {
    std::ofstream file(path(name), std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    ASSERT_TRUE(file.good());
  }

  std::string content(const std::string& name) const { return read_file(path(name), kReadMaxBytes).value(); }

  void run(const std::string& command) const {
    const auto line = "cd '" + folder_.string() + "' && { " + command + "; } >messages 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << command << ": " << content("messages");
  }

  std::unique_ptr<FdSource> source(const std::string& name) const {
    UniqueFd fd(open(path(name).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(fd.valid()) << name;
    return std::make_unique<FdSource>(std::move(fd), path(name));
  }

  Outcome read_image(const std::string& name) const { return read_all(source(name)); }

  Outcome read_bytes(std::string_view bytes) const {
    write("bytes", bytes);
    return read_image("bytes");
  }

  // The same bytes through a pipe, which cannot be sought in.
  Outcome read_piped(const std::string& bytes) const {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    UniqueFd reading(ends[0]);
    std::thread writer([fd = ends[1], &bytes] {
      UniqueFd writing(fd);
      (void)write_all(fd, as_bytes(bytes), "pipe");
    });
    auto outcome = read_all(std::make_unique<FdSource>(std::move(reading), "pipe"));
    writer.join();
    return outcome;
  }

  std::filesystem::path folder_;
};

inline void expect_disk(const Outcome& outcome, std::string_view disk, std::string_view format) {
  EXPECT_FALSE(outcome.error) << outcome.error->message();
  EXPECT_TRUE(outcome.bytes == disk) << outcome.bytes.size() << " bytes, expected " << disk.size();
  EXPECT_EQ(outcome.format, format);
}

inline void expect_error(const Outcome& outcome, ErrorCode code, const std::string& words) {
  ASSERT_TRUE(outcome.error) << outcome.bytes.size() << " bytes of " << outcome.format;
  EXPECT_EQ(outcome.error->code, code) << outcome.error->message();
  EXPECT_THAT(outcome.error->message(), ::testing::HasSubstr(words));
}

}  // namespace drseed::seed
