// The format cannot change by accident: an image of fixed inputs is, to the byte, the one in golden/.
//
// The stored bytes are frames written by hand, so that no version of a compression library plays a part. After a
// change of the format that is meant, run this test with DRSEED_UPDATE_GOLDEN=1 and commit the new files.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/digest.h"
#include "base/file.h"
#include "base/hex.h"
#include "seed/image_reader.h"
#include "seed/image_writer.h"
#include "seed/segment_prover.h"

namespace drseed::seed {
namespace {

constexpr std::uint32_t kSegment = kSegmentBytesMin;
constexpr std::uint64_t kDiskBytes = 5 * kSegment + 1000;

// What the golden disk holds at a segment: 0, 'A', 0, 0, 'B', and a short end of "end!".
std::vector<std::uint8_t> golden_segment(std::uint64_t offset) {
  std::vector<std::uint8_t> plain(std::min<std::uint64_t>(kSegment, kDiskBytes - offset));
  if (offset == kSegment) std::fill(plain.begin(), plain.end(), 'A');
  if (offset == 4 * kSegment) std::fill(plain.begin(), plain.end(), 'B');
  if (offset == 5 * kSegment) {
    for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::uint8_t>("end!"[i % 4]);
  }
  return plain;
}

// RFC 8878: a single-segment frame of one block, RLE where every byte is the same, else raw.
std::vector<std::uint8_t> zstd_frame(const std::vector<std::uint8_t>& plain) {
  const bool same = std::all_of(plain.begin(), plain.end(), [&](std::uint8_t byte) { return byte == plain[0]; });
  const auto size = static_cast<std::uint32_t>(plain.size());
  const auto block = size << 3 | (same ? 1U : 0U) << 1 | 1U;
  std::vector<std::uint8_t> frame{0x28, 0xb5, 0x2f, 0xfd, 0xa0};  // magic, single segment with four bytes of size
  for (int shift = 0; shift < 32; shift += 8) frame.push_back(static_cast<std::uint8_t>(size >> shift));
  for (int shift = 0; shift < 24; shift += 8) frame.push_back(static_cast<std::uint8_t>(block >> shift));
  frame.insert(frame.end(), plain.begin(), same ? plain.begin() + 1 : plain.end());
  return frame;
}

ImageHeader golden_header(Codec codec, std::uint64_t volume_bytes) {
  ImageHeader header;
  for (std::size_t i = 0; i < header.image_id.bytes.size(); ++i)
    header.image_id.bytes[i] = static_cast<std::uint8_t>(i * 0x11);
  header.created_seconds = 1700000000;
  header.writer = "drseed golden";
  header.source = {"/dev/golden", "host", 512, 4096, "model", "serial", "by-id", "ext4", "uuid", "label", "gpt", "id"};
  header.disk_bytes = kDiskBytes;
  header.segment_bytes = kSegment;
  header.codec = codec;
  header.level = codec == Codec::kNone ? 0 : 1;
  header.volume_bytes = volume_bytes;
  header.whole_disk_digests = {"md5"};
  header.note = "golden \xc3\xa4";
  return header;
}

void write_golden(const ImageHeader& header, const std::string& path) {
  auto writer = ImageWriter::create(header, path);
  ASSERT_TRUE(writer) << writer.error().message();
  Hasher md5(DigestKind::kMd5);
  for (std::uint64_t offset = 0; offset < kDiskBytes; offset += kSegment) {
    const auto plain = golden_segment(offset);
    md5.update(plain);
    if (all_zero(plain)) {
      ASSERT_TRUE((*writer)->add_zeros(plain.size()));
      continue;
    }
    const auto stored = header.codec == Codec::kNone ? plain : zstd_frame(plain);
    std::vector<Range> unreadable;
    if (offset == 4 * kSegment) unreadable = {{offset + 512, 512}, {offset + 4096, 8192}};
    ASSERT_TRUE((*writer)->add_data(
        {static_cast<std::uint32_t>(plain.size()), sha256(plain), xxh128(stored), stored, unreadable}));
  }
  ASSERT_TRUE((*writer)->finish(to_hex(md5.finish()), std::nullopt));
}

void expect_golden_disk(const std::string& path) {
  auto image = ImageReader::open(path, {});
  ASSERT_TRUE(image) << image.error().message();
  (*image)->set_buffers(2);
  SegmentProver prover;
  std::uint64_t cursor = 0;
  for (;;) {
    auto segment = (*image)->next();
    ASSERT_TRUE(segment) << segment.error().message();
    if (!*segment) break;
    ASSERT_EQ((*segment)->range.offset_bytes, cursor);
    if ((*segment)->kind == StoredSegment::Kind::kData) {
      std::vector<std::uint8_t> plain((*segment)->range.length_bytes);
      ASSERT_TRUE(prover.prove(**segment, plain));
      EXPECT_TRUE(plain == golden_segment(cursor)) << cursor;
    } else {
      ASSERT_EQ((*segment)->kind, StoredSegment::Kind::kZeros);
      for (auto at = cursor; at < (*segment)->range.end(); at += kSegment) EXPECT_TRUE(all_zero(golden_segment(at)));
    }
    EXPECT_EQ((*segment)->unreadable.size(), cursor == 4 * kSegment ? 2U : 0U);
    EXPECT_EQ((*segment)->problem, "");
    cursor = (*segment)->range.end();
  }
  EXPECT_EQ(cursor, kDiskBytes);
  ASSERT_TRUE((*image)->check_metadata());
  EXPECT_TRUE((*image)->problems().empty());
  EXPECT_EQ((*image)->header().note, "golden \xc3\xa4");
}

class Golden : public testing::Test {
 protected:
  Golden() { std::filesystem::create_directories(folder_); }
  ~Golden() override { std::filesystem::remove_all(folder_); }

  void expect_golden(const std::string& name) {
    const auto golden = std::string(DRSEED_GOLDEN_FOLDER "/") + name;
    const auto made = read_file(folder_ + "/" + name, 1 << 20);
    ASSERT_TRUE(made) << made.error().message();
    if (std::getenv("DRSEED_UPDATE_GOLDEN") != nullptr) {
      ASSERT_TRUE(write_file_atomically(golden, *made));
    }
    const auto kept = read_file(golden, 1 << 20);
    ASSERT_TRUE(kept) << kept.error().message();
    const auto differs = std::mismatch(made->begin(), made->end(), kept->begin(), kept->end()).first - made->begin();
    EXPECT_TRUE(*made == *kept) << name << ": " << made->size() << " bytes made, " << kept->size()
                                << " kept, they differ from byte " << differs;
  }

  const std::string folder_ = testing::TempDir() + "drseed-golden-" + to_string(random_id());
};

TEST_F(Golden, ImageInOneVolumeIsTheSameToTheByte) {
  write_golden(golden_header(Codec::kZstd, 0), folder_ + "/one.drseed");
  expect_golden("one.drseed");
  expect_golden_disk(DRSEED_GOLDEN_FOLDER "/one.drseed");
}

TEST_F(Golden, ImageInVolumesIsTheSameToTheByte) {
  // The smallest volumes hold one uncompressed segment; here it takes two of the compressed ones.
  auto header = golden_header(Codec::kZstd, 0);
  header.image_id.bytes[0] = 0xff;  // beside the other image, whose volumes it must not take
  header.volume_bytes = 17 << 10;
  write_golden(header, folder_ + "/split.drseed");
  for (const auto* name : {"split.drseed.001", "split.drseed.002"}) expect_golden(name);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/split.drseed.003") &&
               !std::filesystem::exists(DRSEED_GOLDEN_FOLDER "/split.drseed.003"));
  expect_golden_disk(DRSEED_GOLDEN_FOLDER "/split.drseed.002");
}

}  // namespace
}  // namespace drseed::seed
