// seed/foreign: raw disks and the five compressions, alone and around an archive.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "foreign_test_support.h"
#include "seed/foreign_magic.h"

namespace drseed::seed {
namespace {

using testing::HasSubstr;

// ---- FdSource

TEST_F(ForeignTest, PeekedBytesAreReadAgain) {
  write("file", "0123456789");
  auto file = source("file");
  ASSERT_EQ(as_text(*file->peek(4)), "0123");
  ASSERT_EQ(as_text(*file->peek(2)), "01");
  EXPECT_EQ(file->position_bytes(), 0u);
  std::vector<std::uint8_t> some(3);
  ASSERT_EQ(read_full(*file, some).value(), 3u);
  EXPECT_EQ(as_text(some), "012");
  EXPECT_EQ(file->position_bytes(), 3u);
  ASSERT_EQ(as_text(*file->peek(5)), "34567");
  some.resize(20);
  ASSERT_EQ(read_full(*file, some).value(), 7u);
  EXPECT_EQ(as_text(Bytes(some).first(7)), "3456789");
  EXPECT_EQ(file->position_bytes(), 10u);
}

TEST_F(ForeignTest, PeekPastTheEndIsShort) {
  write("file", "abc");
  auto file = source("file");
  EXPECT_EQ(as_text(*file->peek(100)), "abc");
  EXPECT_EQ(as_text(*file->peek(100)), "abc");
}

TEST_F(ForeignTest, FailingReadIsAnEnvironmentError) {
  UniqueFd folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  expect_error(read_all(std::make_unique<FdSource>(std::move(folder), "folder")), ErrorCode::kEnvironment, "folder");
}

// ---- raw

TEST_F(ForeignTest, EmptyFileIsRawWithNoBytes) {
  const auto outcome = read_bytes("");
  expect_disk(outcome, "", "raw");
  EXPECT_EQ(outcome.size_bytes, 0u);
}

TEST_F(ForeignTest, RawFileKnowsItsSizeAndName) {
  const auto disk = make_disk(200'000);
  write("server.img", disk);
  const auto outcome = read_image("server.img");
  expect_disk(outcome, disk, "raw");
  EXPECT_EQ(outcome.size_bytes, disk.size());
  EXPECT_EQ(outcome.content_name, "server.img");
}

TEST_F(ForeignTest, RawSizeCountsWhatTheCallerPeeked) {
  write("disk.img", make_disk(200'000));
  auto file = source("disk.img");
  ASSERT_TRUE(file->peek(100'000));
  EXPECT_EQ(read_all(std::move(file)).size_bytes, 200'000u);
}

TEST_F(ForeignTest, RawPipeHasNoSize) {
  const auto disk = make_disk(200'000);
  const auto outcome = read_piped(disk);
  expect_disk(outcome, disk, "raw");
  EXPECT_FALSE(outcome.size_bytes);
}

TEST_F(ForeignTest, DiskOfZerosIsRaw) {
  const std::string disk(100'000, '\0');
  expect_disk(read_bytes(disk), disk, "raw");
}

TEST_F(ForeignTest, DiskThatStartsLikeATarWithAWrongHeaderChecksumIsRaw) {
  write("disk.img", make_disk(3000));
  run("tar cf a.tar disk.img");
  auto disk = content("a.tar");
  disk[10] ^= 1;
  expect_disk(read_bytes(disk), disk, "raw");
}

TEST_F(ForeignTest, DiskWithRightTarChecksumButNoUstarMagicIsRaw) {
  write("disk.img", make_disk(3000));
  run("tar --format=v7 -cf a.tar disk.img");
  const auto disk = content("a.tar");
  expect_disk(read_bytes(disk), disk, "raw");
}

TEST_F(ForeignTest, MagicMustBeWholeAndPlausible) {
  using enum ForeignMagic;
  const auto magic_of = [](std::string_view text) { return recognise_foreign(as_bytes(text)); };
  EXPECT_EQ(magic_of("\x1f\x8b\x08"), kGzip);
  EXPECT_EQ(magic_of("\x1f\x8b\x07"), kRaw);
  EXPECT_EQ(magic_of("\x1f\x8b\x08\xe0"), kRaw);
  EXPECT_EQ(magic_of("BZh9 is a text"), kRaw);
  EXPECT_EQ(magic_of(std::string_view("\xfd"
                                      "7zXZ",
                                      5)),
            kRaw);
  EXPECT_EQ(magic_of("PK\x01\x02"), kRaw);
}

// ---- the five compressions

struct Compression {
  std::string name, command, suffix;
  friend void PrintTo(const Compression& compression, std::ostream* out) { *out << compression.name; }
};

class CompressionTest : public ForeignTest, public ::testing::WithParamInterface<Compression> {
 protected:
  std::string compress(std::string_view plain) const {
    write("plain", plain);
    run(GetParam().command + " < plain > packed");
    return content("packed");
  }
};

INSTANTIATE_TEST_SUITE_P(All, CompressionTest,
                         ::testing::Values(Compression{"gzip", "gzip -c", ".gz"}, Compression{"xz", "xz -c", ".xz"},
                                           Compression{"bzip2", "bzip2 -c", ".bz2"},
                                           Compression{"zstd", "zstd -q -c", ".zst"},
                                           Compression{"lz4", "lz4 -q -c", ".lz4"}),
                         [](const auto& test) { return test.param.name; });

TEST_P(CompressionTest, ContentIsThePlainDisk) {
  const auto disk = make_disk(3'000'000);
  write("server.img" + GetParam().suffix, compress(disk));
  const auto outcome = read_image("server.img" + GetParam().suffix);
  expect_disk(outcome, disk, GetParam().name);
  EXPECT_EQ(outcome.content_name, "server.img");
  EXPECT_FALSE(outcome.size_bytes);
}

TEST_P(CompressionTest, PipeIsReadLikeAFile) {
  const auto disk = make_disk(500'000);
  expect_disk(read_piped(compress(disk)), disk, GetParam().name);
}

TEST_P(CompressionTest, NameDoesNotDecide) {
  const auto disk = make_disk(5000);
  write("disk.img", compress(disk));
  expect_disk(read_image("disk.img"), disk, GetParam().name);
  write("disk.img" + GetParam().suffix, disk);
  expect_disk(read_image("disk.img" + GetParam().suffix), disk, "raw");
}

TEST_P(CompressionTest, NothingCompressedIsNothing) {
  expect_disk(read_bytes(compress("")), "", GetParam().name);
}

TEST_P(CompressionTest, StreamsInARowAreOne) {
  const auto first = make_disk(150'000);
  const auto second = make_disk(70'000);
  expect_disk(read_bytes(compress(first) + compress("") + compress(second)), first + second, GetParam().name);
}

TEST_P(CompressionTest, CompressedTwiceIsUnpackedOnce) {
  const auto inner = compress(make_disk(50'000));
  expect_disk(read_bytes(compress(inner)), inner, GetParam().name);
}

TEST_P(CompressionTest, FlippedBitIsFound) {
  const auto disk = make_disk(400'000);
  const auto packed = compress(disk);
  for (std::size_t i = 20; i < packed.size(); i += packed.size() / 41) {
    auto damaged = packed;
    damaged[i] = static_cast<char>(damaged[i] ^ 1 << i % 8);
    const auto outcome = read_bytes(damaged);
    // A bit that means nothing (padding, a reserved field) may change; the disk may not.
    if (outcome.error) {
      EXPECT_EQ(outcome.error->code, ErrorCode::kDiffers) << outcome.error->message();
      EXPECT_THAT(outcome.error->message(), HasSubstr(path("bytes")));
    } else {
      EXPECT_TRUE(outcome.bytes == disk) << "byte " << i;
    }
  }
  auto damaged = packed;
  damaged[packed.size() / 2] ^= 0x10;
  expect_error(read_bytes(damaged), ErrorCode::kDiffers, path("bytes"));
}

// Every third bit: each byte has some, and the test stays short.
TEST_P(CompressionTest, NoFlippedBitAnywhereChangesTheDiskSilently) {
  const auto disk = make_disk(600) + make_disk(100);
  const auto first = compress(make_disk(600));
  const auto packed = first + compress(make_disk(100));
  std::size_t unnoticed = 0;
  for (std::size_t bit = 0; bit < packed.size() * 8; bit += 3) {
    auto damaged = packed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    const auto outcome = read_bytes(damaged);
    if (outcome.error || outcome.format == "raw") continue;  // without its magic it is raw
    ++unnoticed;
    EXPECT_TRUE(outcome.bytes == disk) << "bit " << bit << " of " << packed.size() * 8 << ": " << outcome.bytes.size()
                                       << " of " << disk.size() << " bytes";
  }
  EXPECT_LT(unnoticed, packed.size() * 8 / 12);
}

TEST_P(CompressionTest, TruncationIsFoundAnywhere) {
  const auto first = compress(make_disk(600));
  const auto packed = first + compress(make_disk(100));
  for (std::size_t length = 12; length < packed.size(); ++length) {
    if (length == first.size()) continue;  // between two streams nothing tells
    const auto outcome = read_bytes(packed.substr(0, length));
    ASSERT_TRUE(outcome.error) << length << " of " << packed.size();
    EXPECT_EQ(outcome.error->code, ErrorCode::kDiffers) << outcome.error->message();
    EXPECT_THAT(outcome.error->message(), HasSubstr("byte"));
  }
}

TEST_P(CompressionTest, LargeTruncationIsFound) {
  const auto packed = compress(make_disk(2'000'000));
  for (const auto cut : {packed.size() - 1, packed.size() - 4, packed.size() - 9, packed.size() / 2, packed.size() / 10,
                         std::size_t{65536}, std::size_t{131072}}) {
    expect_error(read_bytes(packed.substr(0, cut)), ErrorCode::kDiffers, path("bytes"));
  }
}

TEST_P(CompressionTest, TrailingGarbageIsAnError) {
  const auto packed = compress(make_disk(100'000));
  for (std::size_t length : {1, 2, 3, 4, 5, 7, 8, 12, 13, 100, 70'000, 300'000}) {
    expect_error(read_bytes(packed + std::string(length, 'x')), ErrorCode::kDiffers, path("bytes"));
  }
}

TEST_P(CompressionTest, TarInsideIsOpened) {
  const auto disk = make_disk(2'000'000);
  write("disk.img", disk);
  run("tar cf disk.tar disk.img && " + GetParam().command + " < disk.tar > disk.tar.packed");
  const auto outcome = read_image("disk.tar.packed");
  expect_disk(outcome, disk, "raw in tar in " + GetParam().name + " (disk.img)");
  EXPECT_EQ(outcome.content_name, "disk.img");
  EXPECT_EQ(outcome.size_bytes, disk.size());
}

TEST_P(CompressionTest, DamageBehindTheTarIsFound) {
  write("disk.img", make_disk(2'000'000));
  run("tar cf disk.tar disk.img && " + GetParam().command + " < disk.tar > disk.tar.packed");
  const auto packed = content("disk.tar.packed");
  expect_error(read_bytes(packed.substr(0, packed.size() - 2)), ErrorCode::kDiffers, path("bytes"));
}

TEST_P(CompressionTest, MemberOfATarIsUnpacked) {
  const auto disk = make_disk(2'000'000);
  write("disk.img" + GetParam().suffix, compress(disk));
  run("tar cf disk.tar disk.img" + GetParam().suffix);
  const auto outcome = read_image("disk.tar");
  expect_disk(outcome, disk, GetParam().name + " in tar (disk.img" + GetParam().suffix + ")");
  EXPECT_EQ(outcome.content_name, "disk.img");
  EXPECT_FALSE(outcome.size_bytes);
}

TEST_P(CompressionTest, MemberOfAZipIsUnpacked) {
  const auto disk = make_disk(2'000'000);
  write("disk.img" + GetParam().suffix, compress(disk));
  run("zip -q disk.zip disk.img" + GetParam().suffix);
  expect_disk(read_image("disk.zip"), disk, GetParam().name + " in zip (disk.img" + GetParam().suffix + ")");
}

TEST_P(CompressionTest, FlippedBitInAMemberIsFound) {
  write("disk.img", make_disk(100'000));
  write("disk.img" + GetParam().suffix, compress(make_disk(100'000)));
  run("tar cf disk.tar disk.img" + GetParam().suffix);
  auto damaged = content("disk.tar");
  damaged[30'000] ^= 4;
  expect_error(read_bytes(damaged), ErrorCode::kDiffers, GetParam().name);
}

// ---- gzip

TEST_F(ForeignTest, FlippedBitInGzipIsFoundByItsCrc) {
  write("disk.img", make_disk(100'000));
  run("gzip -1 -k disk.img");
  auto packed = content("disk.img.gz");
  packed[packed.size() - 6] ^= 1;  // the CRC itself, four bytes before the length
  expect_error(read_bytes(packed), ErrorCode::kDiffers, "incorrect data check");
}

TEST_F(ForeignTest, WrongLengthInGzipIsFound) {
  write("disk.img", make_disk(100'000));
  run("gzip -k disk.img");
  auto packed = content("disk.img.gz");
  packed[packed.size() - 2] ^= 1;
  expect_error(read_bytes(packed), ErrorCode::kDiffers, "incorrect length check");
}

TEST_F(ForeignTest, TruncatedGzipNamesTheCompressedPosition) {
  write("disk.img", make_disk(100'000));
  run("gzip -k disk.img");
  expect_error(read_bytes(content("disk.img.gz").substr(0, 30'001)), ErrorCode::kDiffers, "compressed byte 30001");
}

TEST_F(ForeignTest, ZeroPaddingAfterGzipIsIgnored) {
  const auto disk = make_disk(100'000);
  write("disk.img", disk);
  run("gzip -k disk.img");
  for (std::size_t length : {1, 512, 200'000}) {
    expect_disk(read_bytes(content("disk.img.gz") + std::string(length, '\0')), disk, "gzip");
  }
}

TEST_F(ForeignTest, GarbageAfterThePaddingOfGzipIsAnErrorWithItsPosition) {
  write("disk.img", make_disk(1000));
  run("gzip -k disk.img");
  const auto packed = content("disk.img.gz");
  const auto position = packed.size() + 100'000;
  expect_error(read_bytes(packed + std::string(100'000, '\0') + "x" + std::string(10, '\0')), ErrorCode::kDiffers,
               "compressed byte " + std::to_string(position));
}

TEST_F(ForeignTest, GzipBombIsOnlyALongStream) {
  run("head -c 60000000 /dev/zero | gzip -9 > bomb.gz");
  const auto outcome = read_image("bomb.gz");
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.bytes.size(), 60'000'000u);
}

// ---- zstd, lz4

TEST_F(ForeignTest, SkippableFrameInFrontOfZstdOrLz4IsSkipped) {
  const auto disk = make_disk(50'000);
  write("disk.img", disk);
  run("zstd -q -k disk.img && lz4 -q disk.img disk.img.lz4");
  const std::string skippable("\x50\x2a\x4d\x18\x04\x00\x00\x00wxyz", 12);
  expect_disk(read_bytes(skippable + content("disk.img.zst")), disk, "zstd");
  expect_disk(read_bytes(skippable + content("disk.img.lz4")), disk, "lz4");
}

TEST_F(ForeignTest, Lz4WithoutContentChecksumIsStillFoundTruncated) {
  const auto disk = make_disk(5000);
  write("disk.img", disk);
  run("lz4 -q --no-frame-crc disk.img disk.img.lz4");
  const auto packed = content("disk.img.lz4");
  expect_disk(read_bytes(packed), disk, "lz4");
  for (std::size_t missing = 1; missing < 40; ++missing) {
    expect_error(read_bytes(packed.substr(0, packed.size() - missing)), ErrorCode::kDiffers, "lz4");
  }
}

TEST_F(ForeignTest, EmptyLz4FrameIsCheckedThoughLibarchiveNeverSeesIt) {
  run("lz4 -q -c < /dev/null > empty.lz4");
  auto packed = content("empty.lz4");
  expect_disk(read_bytes(packed), "", "lz4");
  packed.back() ^= 1;
  expect_error(read_bytes(packed), ErrorCode::kDiffers, "checksum of an empty frame");
}

TEST_F(ForeignTest, LegacyLz4IsRefusedRatherThanTakenForARawDisk) {
  write("disk.img", make_disk(5000));
  run("lz4 -q -l disk.img disk.img.lz4");
  expect_error(read_image("disk.img.lz4"), ErrorCode::kUsage, "legacy");
}

}  // namespace
}  // namespace drseed::seed
