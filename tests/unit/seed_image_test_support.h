#pragma once
// What the tests of whole images share: disks, images of them, and reading them back both ways.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "base/digest.h"
#include "base/file.h"
#include "seed/codec.h"
#include "seed/image_job.h"
#include "seed/image_reader.h"
#include "seed/image_writer.h"
#include "seed/json_seal.h"
#include "seed/segment_prover.h"
#include "seed/verify_job.h"

namespace drseed::seed {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::uint32_t kSegment = kSegmentBytesMin;
constexpr std::uint64_t kVolume = 100'000;  // holds one segment that does not compress

class TempFolder {
 public:
  TempFolder() : path_(testing::TempDir() + "drseed-image-" + to_string(random_id())) { fs::create_directories(path_); }
  ~TempFolder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good());
}

inline std::string content_of(const std::string& path) {
  return read_file(path, 64 << 20).value();
}

// One letter a segment: '0' zeros, 'r' random, 't' text that compresses well. The last segment has `tail` bytes.
inline std::string make_disk(std::string_view plan, std::size_t tail = kSegment) {
  std::string disk;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::size_t length = i + 1 == plan.size() ? tail : kSegment;
    std::mt19937_64 random(i * 31 + 1);
    for (std::size_t at = 0; at < length; ++at) {
      char byte = 0;
      if (plan[i] == 'r') byte = static_cast<char>(random());
      if (plan[i] == 't') byte = static_cast<char>('a' + (at / 97 + i) % 26);
      disk += byte;
    }
  }
  return disk;
}

inline ImageHeader make_header(const std::string& disk, Codec codec = Codec::kZstd, std::uint64_t volume_bytes = 0) {
  ImageHeader header;
  header.image_id.bytes.fill(7);
  header.created_seconds = 1700000000;
  header.writer = "test";
  header.disk_bytes = disk.size();
  header.segment_bytes = kSegment;
  header.codec = codec;
  header.level = codec == Codec::kNone ? 0 : 1;
  header.volume_bytes = volume_bytes;
  return header;
}

inline void write_image(const ImageHeader& header, const std::string& disk, const std::string& path) {
  auto created = ImageWriter::create(header, path);
  ASSERT_TRUE(created) << created.error().message();
  auto& writer = **created;
  SegmentCompressor compressor({header.codec, header.level});
  std::vector<std::uint8_t> stored(stored_bytes_max(header.segment_bytes));
  for (std::size_t at = 0; at < disk.size(); at += header.segment_bytes) {
    const auto plain = as_bytes(disk).subspan(at, std::min<std::size_t>(header.segment_bytes, disk.size() - at));
    if (all_zero(plain)) {
      ASSERT_TRUE(writer.add_zeros(plain.size()));
      continue;
    }
    const auto bytes = std::span(stored).first(compressor.compress(plain, stored));
    ASSERT_TRUE(writer.add_data({static_cast<std::uint32_t>(plain.size()), sha256(plain), xxh128(bytes), bytes, {}}));
  }
  const auto finished = writer.finish(std::nullopt, std::nullopt);
  ASSERT_TRUE(finished) << finished.error().message();
}

enum class Way { kIndexed, kStream };

inline std::string name_of_way(Way way) {
  return way == Way::kIndexed ? "indexed" : "stream";
}

inline Result<std::unique_ptr<ImageReader>> open_image(const std::string& path, Way way) {
  if (way == Way::kIndexed) {
    ImageReadOptions options;
    options.partial = true;
    return ImageReader::open(path, options);
  }
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}", path);
  return ImageReader::open_stream(std::make_unique<FdSource>(std::move(fd), path));
}

struct ReadBack {
  std::optional<Error> error;
  std::vector<std::string> problems;
  std::vector<Range> lost;   // damaged, or what did not prove itself
  std::vector<Range> wrong;  // proven, and yet not what was imaged
  bool whole = false;        // to the end of the disk

  bool reported() const { return error || !problems.empty() || !lost.empty(); }
  bool perfect() const { return !reported() && wrong.empty() && whole; }
};

// Reads all that an image gives, as verify does, and compares it with the disk that was imaged.
inline ReadBack read_back(const std::string& path, Way way, const std::string& disk) {
  ReadBack out;
  auto opened = open_image(path, way);
  if (!opened) {
    out.error = opened.error();
    return out;
  }
  auto& image = **opened;
  image.set_buffers(2);
  SegmentProver prover;
  std::vector<std::uint8_t> plain;
  std::uint64_t cursor = 0;
  for (;;) {
    auto segment = image.next();
    if (!segment) {
      out.error = segment.error();
      return out;
    }
    if (!*segment) break;
    const auto range = (*segment)->range;
    EXPECT_EQ(range.offset_bytes, cursor) << path;
    EXPECT_GT(range.length_bytes, 0U);
    EXPECT_LE(range.end(), image.disk_bytes());
    cursor = range.end();
    const auto original = [&] {
      if (range.offset_bytes >= disk.size() || range.length_bytes > disk.size() - range.offset_bytes) return Bytes();
      return as_bytes(disk).subspan(range.offset_bytes, range.length_bytes);
    }();
    if ((*segment)->kind == StoredSegment::Kind::kDamaged) {
      EXPECT_NE((*segment)->problem, "");
      out.lost.push_back(range);
    } else if ((*segment)->kind == StoredSegment::Kind::kZeros) {
      if (original.empty() || !all_zero(original)) out.wrong.push_back(range);
    } else {
      EXPECT_LE(range.length_bytes, image.header().segment_bytes);
      plain.resize(range.length_bytes);
      if (!prover.prove(**segment, plain)) {
        out.lost.push_back(range);
      } else {
        if (!(*segment)->problem.empty()) out.problems.push_back((*segment)->problem);
        if (!std::equal(plain.begin(), plain.end(), original.begin(), original.end())) out.wrong.push_back(range);
      }
    }
  }
  EXPECT_EQ(cursor, image.disk_bytes());
  out.whole = cursor == disk.size();
  auto checked = image.check_metadata();
  if (!checked) out.error = checked.error();
  out.problems.insert(out.problems.end(), image.problems().begin(), image.problems().end());
  return out;
}

inline std::string describe(const ReadBack& read) {
  std::string text = read.error ? "error: " + read.error->message() + "; " : "";
  for (const auto& problem : read.problems) text += problem + "; ";
  for (const auto& range : read.lost) text += fmt::format("lost {}+{}; ", range.offset_bytes, range.length_bytes);
  for (const auto& range : read.wrong) text += fmt::format("WRONG {}+{}; ", range.offset_bytes, range.length_bytes);
  return text;
}

inline void expect_perfect(const std::string& path, const std::string& disk) {
  for (auto way : {Way::kIndexed, Way::kStream}) {
    const auto read = read_back(path, way, disk);
    EXPECT_TRUE(read.perfect()) << name_of_way(way) << ": " << describe(read);
  }
}

// A change that damages an image: it is reported both ways, and nothing wrong is taken for proven.
inline void expect_found(const std::string& path, const std::string& disk, const std::string& what) {
  for (auto way : {Way::kIndexed, Way::kStream}) {
    const auto read = read_back(path, way, disk);
    EXPECT_TRUE(read.reported()) << what << ", " << name_of_way(way) << ": not seen";
    EXPECT_TRUE(read.wrong.empty()) << what << ", " << name_of_way(way) << ": " << describe(read);
  }
}

inline JobOptions quiet() {
  JobOptions job;
  job.progress = false;
  job.threads = 2;
  return job;
}

}  // namespace drseed::seed
