#include "seed/foreign.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/hex.h"
#include "seed/checksum_file.h"
#include "seed/foreign_magic.h"

namespace drseed::seed {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr std::size_t kReadMaxBytes = 64 << 20;

// Half random, a quarter text, the rest zeros: neither all stored nor all matches.
std::string make_disk(std::size_t size_bytes) {
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

Outcome read_all(std::unique_ptr<FdSource> source) {
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
    auto name = (fs::temp_directory_path() / "drseed_foreign_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

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

  fs::path folder_;
};

void expect_disk(const Outcome& outcome, std::string_view disk, std::string_view format) {
  EXPECT_FALSE(outcome.error) << outcome.error->message();
  EXPECT_TRUE(outcome.bytes == disk) << outcome.bytes.size() << " bytes, expected " << disk.size();
  EXPECT_EQ(outcome.format, format);
}

void expect_error(const Outcome& outcome, ErrorCode code, const std::string& words) {
  ASSERT_TRUE(outcome.error) << outcome.bytes.size() << " bytes of " << outcome.format;
  EXPECT_EQ(outcome.error->code, code) << outcome.error->message();
  EXPECT_THAT(outcome.error->message(), HasSubstr(words));
}

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

// ---- tar

TEST_F(ForeignTest, TarOfOneFileIsItsContent) {
  const auto disk = make_disk(3'000'001);
  fs::create_directory(path("folder"));
  write("folder/disk.img", disk);
  for (const std::string format : {"gnu", "posix", "ustar"}) {
    run("tar --format=" + format + " -cf a.tar folder");
    for (const auto& outcome : {read_image("a.tar"), read_piped(content("a.tar"))}) {
      expect_disk(outcome, disk, "raw in tar (folder/disk.img)");
      EXPECT_EQ(outcome.size_bytes, disk.size());
      EXPECT_EQ(outcome.content_name, "folder/disk.img");
    }
  }
}

TEST_F(ForeignTest, SmallMemberIsReadWhole) {
  for (std::size_t size : {0, 1, 511, 512, 513, 1 << 20}) {
    const auto disk = make_disk(size);
    write("disk.img", disk);
    run("tar cf a.tar disk.img && rm -f a.zip && zip -q a.zip disk.img");
    expect_disk(read_image("a.tar"), disk, "raw in tar (disk.img)");
    expect_disk(read_image("a.zip"), disk, "raw in zip (disk.img)");
  }
}

TEST_F(ForeignTest, SparseTarMemberHasItsHoles) {
  for (const std::string tail : {"", "end"}) {
    std::string disk(6'000'000, '\0');
    disk.replace(0, 4, "head");
    disk.replace(3'000'000, 6, "middle");
    disk.replace(disk.size() - tail.size(), tail.size(), tail);
    write("plain", disk);
    run("cp --sparse=always plain disk.img");
    for (const std::string format : {"gnu", "posix"}) {
      run("tar --format=" + format + " -Scf a.tar disk.img");
      ASSERT_LT(fs::file_size(path("a.tar")), 1'000'000u);
      const auto outcome = read_image("a.tar");
      expect_disk(outcome, disk, "raw in tar (disk.img)");
      EXPECT_EQ(outcome.size_bytes, disk.size());
    }
  }
}

TEST_F(ForeignTest, SparseTarMemberLongerThanItsHeaderSaysIsFound) {
  std::string disk(6'000'000, '\0');
  disk.replace(3'000'000, 6, "middle");
  write("plain", disk);
  run("cp --sparse=always plain disk.img && tar --format=gnu -Scf a.tar disk.img");
  auto forged = content("a.tar");
  forged.replace(483, 11, "00000001000");  // the real size, octal
  forged.replace(148, 8, "        ");
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(forged[i]);
  forged.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  expect_error(read_bytes(forged), ErrorCode::kDiffers, "longer than the 512 bytes");
}

TEST_F(ForeignTest, LinksAndFoldersAreNoDisks) {
  const auto disk = make_disk(5000);
  fs::create_directory(path("folder"));
  write("folder/disk.img", disk);
  run("ln folder/disk.img folder/disk2.img && ln -s disk.img folder/link");
  run("tar cf a.tar folder");
  const auto outcome = read_image("a.tar");
  EXPECT_FALSE(outcome.error) << outcome.error->message();
  EXPECT_TRUE(outcome.bytes == disk);
}

TEST_F(ForeignTest, TarWithSeveralFilesNamesThemAtOnce) {
  write("disk.img", make_disk(3'000'000));
  write("notes.txt", "x");
  run("tar cf a.tar disk.img notes.txt");
  const auto outcome = read_image("a.tar");
  expect_error(outcome, ErrorCode::kUsage, "'disk.img', 'notes.txt'");
  EXPECT_FALSE(outcome.opened);
}

TEST_F(ForeignTest, SmallFileInFrontOfOthersIsRefusedBeforeItIsRead) {
  write("config.xml", std::string(500'000, 'x'));
  write("disk.img", make_disk(3'000'000));
  run("tar czf a.tar.gz config.xml disk.img && tar cf a.tar config.xml disk.img");
  for (const auto& outcome : {read_image("a.tar.gz"), read_piped(content("a.tar"))}) {
    expect_error(outcome, ErrorCode::kUsage, "'config.xml', 'disk.img'");
    EXPECT_FALSE(outcome.opened);
  }
}

TEST_F(ForeignTest, SecondFileBehindALargeOneInACompressedTarIsAnErrorAtTheEnd) {
  write("disk.img", make_disk(3'000'000));
  write("notes.txt", "x");
  run("tar czf a.tar.gz disk.img notes.txt");
  expect_error(read_image("a.tar.gz"), ErrorCode::kUsage, "'disk.img', 'notes.txt'");
}

TEST_F(ForeignTest, ArchiveWithoutAFileIsRefused) {
  fs::create_directory(path("folder"));
  run("tar cf a.tar folder && zip -q a.zip folder");
  expect_error(read_image("a.tar"), ErrorCode::kUsage, "no regular file");
  expect_error(read_image("a.zip"), ErrorCode::kUsage, "no regular file");
  expect_error(read_piped(content("a.tar")), ErrorCode::kUsage, "no regular file");
  expect_error(read_piped(content("a.zip")), ErrorCode::kUsage, "no regular file");
}

TEST_F(ForeignTest, TruncatedTarIsFound) {
  const auto disk = make_disk(1'500'000);
  write("disk.img", disk);
  run("tar cf a.tar disk.img");
  const auto whole = content("a.tar");
  const std::size_t padded = 512 + (disk.size() + 511) / 512 * 512;
  for (const auto length :
       {std::size_t{512}, std::size_t{700}, std::size_t{70'000}, 512 + disk.size() - 1, 512 + disk.size(), padded}) {
    expect_error(read_bytes(whole.substr(0, length)), ErrorCode::kDiffers, path("bytes"));
    expect_error(read_piped(whole.substr(0, length)), ErrorCode::kDiffers, "pipe");
  }
  expect_disk(read_bytes(whole.substr(0, padded + 1024)), disk, "raw in tar (disk.img)");
}

TEST_F(ForeignTest, HostileNameInATarIsShownEscapedAndNeverWritten) {
  const std::string name = "x\x1b[2J\n-rf";
  write(name, make_disk(3000));
  run("tar --transform 's,^,../../,S' -P -cf a.tar x*rf");
  const auto outcome = read_image("a.tar");
  EXPECT_FALSE(outcome.error) << outcome.error->message();
  EXPECT_THAT(outcome.format, HasSubstr("\\x1b[2J\\x0a-rf"));
  EXPECT_THAT(outcome.format, Not(HasSubstr("\x1b")));
  std::set<std::string> files;
  for (const auto& file : fs::directory_iterator(folder_)) files.insert(file.path().filename().string());
  EXPECT_EQ(files, (std::set<std::string>{name, "a.tar", "messages"}));
}

TEST_F(ForeignTest, NameThatIsNotAsciiIsKept) {
  const auto disk = make_disk(3000);
  write("pl\xc3\xa1n.img", disk);
  for (const std::string format : {"gnu", "posix"}) {
    run("tar --format=" + format + " -cf a.tar pl*.img");
    EXPECT_EQ(read_image("a.tar").content_name, "pl\xc3\xa1n.img");
  }
}

TEST_F(ForeignTest, PeekedTarIsOpenedFromItsStart) {
  const auto disk = make_disk(500'000);
  write("disk.img", disk);
  run("tar cf a.tar disk.img");
  auto file = source("a.tar");
  ASSERT_TRUE(file->peek(100'000));
  expect_disk(read_all(std::move(file)), disk, "raw in tar (disk.img)");
}

// ---- zip

TEST_F(ForeignTest, ZipStoredOrDeflatedIsItsContent) {
  const auto disk = make_disk(2'000'000);
  write("disk.img", disk);
  run("zip -q -0 stored.zip disk.img; zip -q deflated.zip disk.img; zip -q - disk.img | cat > streamed.zip; "
      "zip -q - - < disk.img | cat > stdin.zip");
  for (const std::string name : {"stored.zip", "deflated.zip", "streamed.zip"}) {
    expect_disk(read_image(name), disk, "raw in zip (disk.img)");
    expect_disk(read_piped(content(name)), disk, "raw in zip (disk.img)");
  }
  expect_disk(read_image("stdin.zip"), disk, "raw in zip (-)");
}

TEST_F(ForeignTest, ZipWithACommentIsWhole) {
  const auto disk = make_disk(20'000);
  write("disk.img", disk);
  run("zip -q a.zip disk.img && echo 'a comment' | zip -q -z a.zip");
  expect_disk(read_image("a.zip"), disk, "raw in zip (disk.img)");
  expect_disk(read_piped(content("a.zip")), disk, "raw in zip (disk.img)");
}

TEST_F(ForeignTest, FlippedBitInAZipIsFoundByItsCrc) {
  write("disk.img", make_disk(2'000'000));
  run("zip -q -0 stored.zip disk.img && zip -q deflated.zip disk.img");
  for (const std::string name : {"stored.zip", "deflated.zip"}) {
    auto damaged = content(name);
    damaged[600'000] ^= 1;
    expect_error(read_bytes(damaged), ErrorCode::kDiffers, path("bytes"));
  }
}

TEST_F(ForeignTest, TruncatedZipIsFoundAnywhere) {
  write("disk.img", make_disk(2'000'000));
  run("zip -q -0 stored.zip disk.img && zip -q deflated.zip disk.img && zip -q - disk.img | cat > streamed.zip");
  for (const std::string name : {"stored.zip", "deflated.zip", "streamed.zip"}) {
    const auto whole = content(name);
    for (const auto length : {std::size_t{40}, std::size_t{700'000}, whole.size() - 120, whole.size() - 60,
                              whole.size() - 22, whole.size() - 1}) {
      expect_error(read_bytes(whole.substr(0, length)), ErrorCode::kDiffers, path("bytes"));
      expect_error(read_piped(whole.substr(0, length)), ErrorCode::kDiffers, "pipe");
    }
  }
}

TEST_F(ForeignTest, EncryptedZipSaysSo) {
  write("disk.img", make_disk(20'000));
  run("zip -q -P secret a.zip disk.img");
  expect_error(read_image("a.zip"), ErrorCode::kUsage, "encrypted");
}

TEST_F(ForeignTest, ZipOfAnotherMethodIsRefused) {
  write("disk.img", make_disk(20'000));
  run("zip -q -Z bzip2 a.zip disk.img");
  expect_error(read_image("a.zip"), ErrorCode::kUsage, "neither stored nor deflated");
}

TEST_F(ForeignTest, ZipWithSeveralFilesNamesThemAtOnce) {
  write("disk.img", make_disk(3'000'000));
  for (int i = 0; i < 8; ++i) write("note" + std::to_string(i), "x");
  run("zip -q a.zip disk.img note*");
  const auto outcome = read_image("a.zip");
  expect_error(outcome, ErrorCode::kUsage, "'disk.img', 'note0', 'note1', 'note2', 'note3', ...");
  EXPECT_FALSE(outcome.opened);
  expect_error(read_piped(content("a.zip")), ErrorCode::kUsage, "'disk.img', 'note0'");
}

TEST_F(ForeignTest, EmptyZipHoldsNoFile) {
  const auto empty = std::string("PK\x05\x06") + std::string(18, '\0');
  expect_error(read_bytes(empty), ErrorCode::kUsage, "no regular file");
}

// ---- files of digests

const std::string kMd5Hex = "d41d8cd98f00b204e9800998ecf8427e";
const std::string kSha256Hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

ChecksumLine line_of(DigestKind kind, const std::string& hex, const std::string& name) {
  ChecksumLine line{kind, std::vector<std::uint8_t>(hex.size() / 2), name};
  EXPECT_TRUE(from_hex(hex, line.digest));
  return line;
}

ChecksumLine parse_one(const std::string& text) {
  const auto lines = parse_checksum_file(text);
  EXPECT_TRUE(lines) << lines.error().message();
  if (!lines) return {};
  EXPECT_EQ(lines->size(), 1u) << text;
  return lines->empty() ? ChecksumLine{} : lines->front();
}

TEST(ChecksumFileTest, PlainLineOf32DigitsIsMd5AndOf64IsSha256) {
  EXPECT_EQ(parse_one(kMd5Hex + "  disk.img\n"), line_of(DigestKind::kMd5, kMd5Hex, "disk.img"));
  EXPECT_EQ(parse_one(kSha256Hex + "  disk.img\n"), line_of(DigestKind::kSha256, kSha256Hex, "disk.img"));
}

TEST(ChecksumFileTest, BinaryMarkIsNoPartOfTheName) {
  EXPECT_EQ(parse_one(kMd5Hex + " *disk.img").name, "disk.img");
  EXPECT_EQ(parse_one(kMd5Hex + "  *disk.img").name, "*disk.img");
  EXPECT_EQ(parse_one(kMd5Hex + "   disk.img").name, " disk.img");
}

TEST(ChecksumFileTest, UpperCaseDigitsAndCarriageReturnsAreRead) {
  EXPECT_EQ(parse_one("D41D8CD98F00B204E9800998ECF8427E *disk.img\r\n"),
            line_of(DigestKind::kMd5, kMd5Hex, "disk.img"));
}

TEST(ChecksumFileTest, TaggedLinesSayTheirKind) {
  EXPECT_EQ(parse_one("MD5 (a) = " + kMd5Hex), line_of(DigestKind::kMd5, kMd5Hex, "a"));
  EXPECT_EQ(parse_one("XXH128 (a) = " + kMd5Hex), line_of(DigestKind::kXxh128, kMd5Hex, "a"));
  EXPECT_EQ(parse_one("SHA256 (a b) = " + kSha256Hex), line_of(DigestKind::kSha256, kSha256Hex, "a b"));
  EXPECT_EQ(parse_one("SHA2-256(a)= " + kSha256Hex), line_of(DigestKind::kSha256, kSha256Hex, "a"));
}

TEST(ChecksumFileTest, NameInATaggedLineMayLookLikeItsEnd) {
  EXPECT_EQ(parse_one("MD5 (a) = b) = " + kMd5Hex).name, "a) = b");
}

TEST(ChecksumFileTest, EscapedNamesAreUnescapedOnlyWithTheLeadingBackslash) {
  EXPECT_EQ(parse_one("\\" + kMd5Hex + "  a\\\\b\\nc\\rd").name, "a\\b\nc\rd");
  EXPECT_EQ(parse_one("\\SHA256 (a\\nb) = " + kSha256Hex).name, "a\nb");
  EXPECT_EQ(parse_one(kMd5Hex + "  a\\nb").name, "a\\nb");
}

TEST(ChecksumFileTest, EmptyLinesAndCommentsAreSkipped) {
  const auto lines = parse_checksum_file("# made by hand\r\n\n\r\n" + kMd5Hex + "  a\n\n" + kMd5Hex + "  b");
  ASSERT_TRUE(lines);
  EXPECT_EQ(lines->size(), 2u);
  EXPECT_TRUE(parse_checksum_file("").value().empty());
}

TEST(ChecksumFileTest, LineThatIsNotUnderstoodIsNamedByItsNumber) {
  const auto cut = kMd5Hex.substr(1);
  const std::string nul(1, '\0');
  const std::vector<std::string> bad_lines{cut + "  a",
                                           kMd5Hex + "0  a",
                                           kMd5Hex,
                                           kMd5Hex + " ",
                                           kMd5Hex + "  ",
                                           kMd5Hex + "\ta",
                                           "x" + cut + "  a",
                                           "MD5 (a) = " + cut,
                                           "SHA256 (a) = " + kMd5Hex,
                                           "MD5 () = " + kMd5Hex,
                                           "MD5 a = " + kMd5Hex,
                                           "MD5 (a) " + kMd5Hex,
                                           "SHA1 (a) = " + kMd5Hex + "00000000",
                                           "\\" + kMd5Hex + "  a\\x",
                                           "\\" + kMd5Hex + "  a\\",
                                           kMd5Hex + "  a" + nul,
                                           " ",
                                           "MD5 (a) = " + kMd5Hex + " "};
  for (const auto& bad : bad_lines) {
    const auto lines = parse_checksum_file("# x\n" + kMd5Hex + "  a\n" + bad + "\n" + kMd5Hex + "  b\n");
    ASSERT_FALSE(lines) << bad;
    EXPECT_EQ(lines.error().code, ErrorCode::kUsage);
    EXPECT_THAT(lines.error().message(), HasSubstr("line 3 "));
  }
}

TEST(ChecksumFileTest, WrittenLineIsReadBack) {
  for (const std::string name : {"disk.img", "a b", "*a", " a", "a) = b", "a\\b", "a\nb\r", "#a", "\\", "XXH128 (a)"}) {
    for (const auto& line : {line_of(DigestKind::kMd5, kMd5Hex, name), line_of(DigestKind::kSha256, kSha256Hex, name),
                             line_of(DigestKind::kXxh128, kMd5Hex, name)}) {
      EXPECT_EQ(parse_one(format_checksum_line(line)), line) << format_checksum_line(line);
    }
  }
}

TEST(ChecksumFileTest, WrittenLineIsAsCoreutilsWritesIt) {
  EXPECT_EQ(format_checksum_line(line_of(DigestKind::kMd5, kMd5Hex, "a")), kMd5Hex + "  a\n");
  EXPECT_EQ(format_checksum_line(line_of(DigestKind::kSha256, kSha256Hex, "a\\b")), "\\" + kSha256Hex + "  a\\\\b\n");
  EXPECT_EQ(format_checksum_line(line_of(DigestKind::kXxh128, kMd5Hex, "a")), "XXH128 (a) = " + kMd5Hex + "\n");
}

TEST_F(ForeignTest, ChecksumLinesAreThoseOfCoreutils) {
  const std::string name = "a b\\c\nd";
  write(name, "");
  run("md5sum -- a* > sums && sha256sum -b -- a* >> sums && md5sum --tag -- a* >> sums && "
      "sha256sum --tag -- a* >> sums");
  const auto lines = parse_checksum_file(content("sums"));
  ASSERT_TRUE(lines) << lines.error().message();
  const auto md5 = line_of(DigestKind::kMd5, kMd5Hex, name);
  const auto sha256 = line_of(DigestKind::kSha256, kSha256Hex, name);
  EXPECT_EQ(*lines, (std::vector<ChecksumLine>{md5, sha256, md5, sha256}));
  write("ours", format_checksum_line(md5));
  run("md5sum -c ours > /dev/null");
}

std::string found_hex(const std::string& text, std::string_view name) {
  const auto line = find_checksum(parse_checksum_file(text).value(), name);
  if (line) return to_hex(line->digest);
  EXPECT_EQ(line.error().code, ErrorCode::kUsage);
  return line.error().message();
}

TEST(FindChecksumTest, ExactNameWinsOverBaseName) {
  const auto other = std::string(32, '1');
  EXPECT_EQ(found_hex(other + "  old/disk.img\n" + kMd5Hex + "  disk.img\n", "disk.img"), kMd5Hex);
}

TEST(FindChecksumTest, OnlyLineWithTheBaseNameIsTaken) {
  const auto other = std::string(32, '1');
  EXPECT_EQ(found_hex(other + "  a/b.img\n" + kMd5Hex + "  ./disk.img\n", "/backup/disk.img"), kMd5Hex);
}

TEST(FindChecksumTest, SeveralLinesWithTheBaseNameAreRefused) {
  const auto other = std::string(32, '1');
  EXPECT_THAT(found_hex(other + "  a/disk.img\n" + kMd5Hex + "  b/disk.img\n", "disk.img"), HasSubstr("several"));
}

TEST(FindChecksumTest, SeveralLinesWithTheNameAreRefusedUnlessTheyAreTheSame) {
  const auto other = std::string(32, '1');
  EXPECT_THAT(found_hex(other + "  disk.img\n" + kMd5Hex + "  disk.img\n", "disk.img"), HasSubstr("several"));
  EXPECT_EQ(found_hex(kMd5Hex + "  disk.img\n" + kMd5Hex + " *disk.img\n", "disk.img"), kMd5Hex);
}

TEST(FindChecksumTest, SingleLineIsTakenWhateverItsName) {
  EXPECT_EQ(found_hex(kMd5Hex + "  -\n", "disk.img"), kMd5Hex);
}

TEST(FindChecksumTest, NameThatIsNotThereIsRefused) {
  EXPECT_THAT(found_hex(kMd5Hex + "  a\n" + kMd5Hex + "  b\n", "disk.img"), HasSubstr("no line for 'disk.img'"));
  EXPECT_THAT(found_hex("", "disk.img"), HasSubstr("no line"));
}

}  // namespace
}  // namespace drseed::seed
