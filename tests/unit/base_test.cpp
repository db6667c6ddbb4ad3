#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/digest.h"
#include "base/endian.h"
#include "base/exit_status.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/rate_limit.h"
#include "base/result.h"
#include "base/size_text.h"
#include "base/unique_fd.h"

namespace drseed {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using std::chrono::steady_clock;

// ---- endian

template <typename Int>
std::string bytes_of(Int value) {
  return to_hex({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

TEST(EndianTest, LittleEndianHasTheLowByteFirst) {
  EXPECT_EQ(bytes_of(ul16(0x0102)), "0201");
  EXPECT_EQ(bytes_of(ul32(0x01020304)), "04030201");
  EXPECT_EQ(bytes_of(ul64(0x0102030405060708)), "0807060504030201");
}

TEST(EndianTest, BigEndianHasTheHighByteFirst) {
  EXPECT_EQ(bytes_of(ub16(0x0102)), "0102");
  EXPECT_EQ(bytes_of(ub32(0x01020304)), "01020304");
  EXPECT_EQ(bytes_of(ub64(0x0102030405060708)), "0102030405060708");
}

template <typename Format, typename Int>
void expect_kept(Int value) {
  EXPECT_EQ(static_cast<Int>(Format(value)), value);
}

TEST(EndianTest, EveryIntegerComesBack) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x80}, std::uint64_t{0xff00ff00},
                                    std::uint64_t{0x8000000000000001}, ~std::uint64_t{0}}) {
    expect_kept<ul16>(static_cast<std::uint16_t>(value));
    expect_kept<ub16>(static_cast<std::uint16_t>(value));
    expect_kept<ul32>(static_cast<std::uint32_t>(value));
    expect_kept<ub32>(static_cast<std::uint32_t>(value));
    expect_kept<ul64>(value);
    expect_kept<ub64>(value);
  }
}

TEST(EndianTest, StructOfThemHasNoPadding) {
  struct Mixed {
    ul16 a;
    ul64 b;
    ub32 c;
  };
  EXPECT_EQ(sizeof(Mixed), 14u);
  EXPECT_EQ(alignof(Mixed), 1u);
}

TEST(EndianTest, DefaultIsZero) {
  EXPECT_EQ(ul64(), 0u);
  EXPECT_EQ(ub16(), 0u);
}

// ---- hex

TEST(HexTest, BytesAreLowerCasePairs) {
  const std::vector<std::uint8_t> bytes{0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(to_hex(bytes), "000fa5ff");
  EXPECT_EQ(to_hex({}), "");
}

TEST(HexTest, EitherCaseIsRead) {
  std::vector<std::uint8_t> bytes(4);
  ASSERT_TRUE(from_hex("000fA5Ff", bytes));
  EXPECT_EQ(bytes, (std::vector<std::uint8_t>{0x00, 0x0f, 0xa5, 0xff}));
}

TEST(HexTest, WrongLengthOrDigitIsRefused) {
  std::vector<std::uint8_t> bytes(2);
  for (const std::string bad :
       {"", "000", "00000", "000000", "00g0", "000G", " 000", "0x00", "00-1", "00:0", "00@0", "00`0"}) {
    EXPECT_FALSE(from_hex(bad, bytes)) << bad;
  }
  EXPECT_FALSE(from_hex(std::string_view("00\0"
                                         "0",
                                         4),
                        bytes));
  EXPECT_TRUE(from_hex("", {}));
}

// ---- id

TEST(IdTest, TextIsAUuidOfVersion4) {
  const auto text = to_string(random_id());
  ASSERT_EQ(text.size(), 36u);
  EXPECT_EQ(text[14], '4');
  EXPECT_THAT("89ab", HasSubstr(text.substr(19, 1)));
}

TEST(IdTest, TextComesBackInEitherCase) {
  const auto id = random_id();
  auto text = to_string(id);
  EXPECT_EQ(parse_id(text).value(), id);
  for (auto& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_EQ(parse_id(text).value(), id);
}

TEST(IdTest, BytesAreInTheOrderOfTheText) {
  const auto id = parse_id("00112233-4455-6677-8899-aabbccddeeff").value();
  EXPECT_EQ(to_hex(id.bytes), "00112233445566778899aabbccddeeff");
}

TEST(IdTest, AnythingElseIsRefused) {
  const std::string good = "00112233-4455-6677-8899-aabbccddeeff";
  for (const auto& bad :
       {std::string(), good.substr(1), good + "0", "{" + good + "}", std::string(36, '0'), std::string(36, '-'),
        std::string("00112233445566778899aabbccddeeff"), std::string("0011223-34455-6677-8899-aabbccddeeff"),
        std::string("00112233-4455-6677-8899-aabbccddeefg"), std::string("00112233-4455-6677-8899-aabbccdd-eff")}) {
    EXPECT_FALSE(parse_id(bad)) << bad;
  }
}

TEST(IdTest, RandomIdsDiffer) {
  std::set<Id> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(random_id());
  EXPECT_EQ(ids.size(), 1000u);
}

// ---- size_text

TEST(SizeTextTest, BinaryAndDecimalUnitsAreTold) {
  EXPECT_EQ(parse_size("4096").value(), 4096u);
  EXPECT_EQ(parse_size("0").value(), 0u);
  EXPECT_EQ(parse_size("64KiB").value(), 65536u);
  EXPECT_EQ(parse_size("64K").value(), 65536u);
  EXPECT_EQ(parse_size("64kb").value(), 64000u);
  EXPECT_EQ(parse_size("400 MiB").value(), 400u << 20);
  EXPECT_EQ(parse_size("3MB").value(), 3'000'000u);
  EXPECT_EQ(parse_size("2g").value(), 2ull << 30);
  EXPECT_EQ(parse_size("2GB").value(), 2'000'000'000u);
  EXPECT_EQ(parse_size("1TiB").value(), 1ull << 40);
  EXPECT_EQ(parse_size("1TB").value(), 1'000'000'000'000u);
  EXPECT_EQ(parse_size("512 bytes").value(), 512u);
  EXPECT_EQ(parse_size("512B").value(), 512u);
}

TEST(SizeTextTest, FractionsOfAUnitAreExact) {
  EXPECT_EQ(parse_size("1.5G").value(), 3ull << 29);
  EXPECT_EQ(parse_size("0.5K").value(), 512u);
  EXPECT_EQ(parse_size("1.5TiB").value(), 3ull << 39);
  EXPECT_EQ(parse_size("2.0").value(), 2u);
}

TEST(SizeTextTest, FractionOfAByteIsRefused) {
  for (const std::string bad : {"1.0001KiB", "0.5", "1.5 bytes", "0.0001KB", "1.0000000001TiB"}) {
    const auto size = parse_size(bad);
    ASSERT_FALSE(size) << bad << " is " << *size;
    EXPECT_EQ(size.error().code, ErrorCode::kUsage);
    EXPECT_THAT(size.error().message(), HasSubstr("a fraction of a byte"));
  }
}

TEST(SizeTextTest, LargestIsTheLargestSigned64BitNumber) {
  EXPECT_EQ(parse_size("9223372036854775807").value(), (1ull << 63) - 1);
  EXPECT_EQ(parse_size("8388607T").value(), 8388607ull << 40);
  EXPECT_EQ(parse_size("8388607.5T").value(), (8388607ull << 40) + (1ull << 39));
  for (const std::string bad : {"9223372036854775808", "18446744073709551616", "99999999999999999999999", "8388608T",
                                "8388608.0T", "16777216T", "9223372036854775807K", "9999999999999.5TiB"}) {
    const auto size = parse_size(bad);
    ASSERT_FALSE(size) << bad << " is " << *size;
    EXPECT_EQ(size.error().code, ErrorCode::kUsage);
  }
}

TEST(SizeTextTest, NonsenseIsRefused) {
  for (const std::string bad :
       {"",     " ",     "-1",   "+1",   "K",  "KiB", "x",     "0x10", "1e3",   "inf", "nan",  ".",   "..",
        "1..5", "1.2.3", "1.5.", "1  K", " 1", "1KK", "1KiBs", "1,5G", "1 000", "1.5", "1PiB", "1K 1"}) {
    const auto size = parse_size(bad);
    ASSERT_FALSE(size) << "'" << bad << "' is " << *size;
    EXPECT_EQ(size.error().code, ErrorCode::kUsage);
    EXPECT_THAT(size.error().message(), HasSubstr("'" + bad + "'"));
  }
  EXPECT_FALSE(parse_size(std::string_view("1\0K", 3)));
}

TEST(SizeTextTest, SizesAreShort) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1024), "1.00 KiB");
  EXPECT_EQ(format_size(10 << 20), "10.0 MiB");
  EXPECT_EQ(format_size(182ull << 30), "182 GiB");
  EXPECT_EQ(format_size(~0ull), "16.0 EiB");
  EXPECT_EQ(format_rate(182.0 * (1 << 20)), "182 MiB/s");
  EXPECT_EQ(format_rate(-1), "0 B/s");
}

TEST(SizeTextTest, DurationsHaveHoursOnlyWhereThereAreAny) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(187), "3:07");
  EXPECT_EQ(format_duration(7387), "2:03:07");
  EXPECT_EQ(format_duration(-5), "0:00");
}

// ---- digest: RFC 1321, FIPS 180-2, xxHash's own test of the empty input

std::string hex_of(DigestKind kind, std::string_view text) {
  Hasher hasher(kind);
  hasher.update(as_bytes(text));
  return to_hex(hasher.finish());
}

TEST(DigestTest, PublishedVectorsOfMd5) {
  EXPECT_EQ(hex_of(DigestKind::kMd5, ""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hex_of(DigestKind::kMd5, "abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(hex_of(DigestKind::kMd5, "message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(DigestTest, PublishedVectorsOfSha256) {
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(hex_of(DigestKind::kSha256, ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_of(DigestKind::kSha256, "abc"), abc);
  EXPECT_EQ(hex_of(DigestKind::kSha256, std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))), abc);
}

TEST(DigestTest, PublishedVectorsOfXxh128) {
  EXPECT_EQ(hex_of(DigestKind::kXxh128, ""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hex(xxh128({})), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hex_of(DigestKind::kXxh128, "abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(DigestTest, PiecesGiveTheDigestOfTheWhole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i);
  for (const auto kind : {DigestKind::kMd5, DigestKind::kSha256, DigestKind::kXxh128}) {
    Hasher hasher(kind);
    for (std::size_t at = 0, length = 0; at < text.size(); at += length, length = length * 2 + 1) {
      hasher.update(as_bytes(std::string_view(text).substr(at, length)));
    }
    EXPECT_EQ(to_hex(hasher.finish()), hex_of(kind, text)) << name_of(kind);
  }
  EXPECT_EQ(to_hex(xxh128(as_bytes(text))), hex_of(DigestKind::kXxh128, text));
}

TEST(DigestTest, HasherStartsAnewAfterFinish) {
  for (const auto kind : {DigestKind::kMd5, DigestKind::kSha256, DigestKind::kXxh128}) {
    Hasher hasher(kind);
    hasher.update(as_bytes("something else"));
    (void)hasher.finish();
    hasher.update(as_bytes("abc"));
    const auto digest = hasher.finish();
    EXPECT_EQ(to_hex(digest), hex_of(kind, "abc")) << name_of(kind);
    EXPECT_EQ(digest.size(), size_of(kind));
  }
  Sha256 sha;
  sha.update(as_bytes("x"));
  (void)sha.finish();
  sha.update(as_bytes("abc"));
  EXPECT_EQ(sha.finish(), sha256(as_bytes("abc")));
}

TEST(DigestTest, HexLengthTellsMd5AndSha256) {
  EXPECT_EQ(digest_kind_of_hex_length(32), DigestKind::kMd5);
  EXPECT_EQ(digest_kind_of_hex_length(64), DigestKind::kSha256);
  for (std::size_t digits : {0, 16, 31, 33, 40, 63, 128}) EXPECT_FALSE(digest_kind_of_hex_length(digits));
}

// ---- file

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto name = (fs::temp_directory_path() / "drseed_base_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
  }

  fs::path folder_;
};

TEST_F(FileTest, WholeFileIsReadUpToTheLimit) {
  const std::string content(100'000, 'x');
  write("file", content);
  EXPECT_EQ(read_file(path("file"), 100'000).value(), content);
  write("empty", "");
  EXPECT_EQ(read_file(path("empty"), 0).value(), "");
}

TEST_F(FileTest, LargerFileIsAnErrorNotACut) {
  write("file", std::string(100'001, 'x'));
  const auto content = read_file(path("file"), 100'000);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, ErrorCode::kDiffers);
}

TEST_F(FileTest, MissingFileIsNamedWithTheSystemsReason) {
  const auto content = read_file(path("file"), 10);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(content.error().system_errno, ENOENT);
  EXPECT_THAT(content.error().message(), HasSubstr(path("file")));
  EXPECT_THAT(content.error().message(), HasSubstr("No such file"));
}

TEST_F(FileTest, FileIsReplacedWholeAndNothingIsLeftBeside) {
  write("file", "the old and longer content");
  ASSERT_TRUE(write_file_atomically(path("file"), "new"));
  EXPECT_EQ(read_file(path("file"), 100).value(), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(FileTest, ReaderOfTheOldFileKeepsIt) {
  write("file", "old");
  UniqueFd old(open(path("file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(write_file_atomically(path("file"), "new"));
  std::vector<std::uint8_t> bytes(3);
  ASSERT_TRUE(pread_exactly(old.get(), bytes, 0, "old"));
  EXPECT_EQ(as_text(bytes), "old");
}

TEST_F(FileTest, LeftoverOfACrashIsOverwritten) {
  write("file.new", "half of somethi");
  ASSERT_TRUE(write_file_atomically(path("file"), "new"));
  EXPECT_EQ(read_file(path("file"), 100).value(), "new");
}

TEST_F(FileTest, FailedReplacementLeavesTheOldFile) {
  write("file", "old");
  fs::create_directory(path("file.new"));  // so that the temporary file cannot be made
  const auto written = write_file_atomically(path("file"), "new");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(read_file(path("file"), 100).value(), "old");
}

TEST_F(FileTest, NothingIsLeftBesideATargetThatCannotBeReplaced) {
  fs::create_directory(path("target"));
  const auto written = write_file_atomically(path("target"), "new");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(written.error().system_errno, EISDIR);
  EXPECT_TRUE(fs::is_directory(path("target")));
  EXPECT_FALSE(fs::exists(path("target.new")));
}

TEST_F(FileTest, FileInAMissingFolderIsAnError) {
  EXPECT_FALSE(write_file_atomically(path("missing/file"), "new"));
}

TEST_F(FileTest, PreadExactlyReadsAtTheOffset) {
  write("file", "0123456789");
  UniqueFd fd(open(path("file").c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<std::uint8_t> bytes(4);
  ASSERT_TRUE(pread_exactly(fd.get(), bytes, 6, "file"));
  EXPECT_EQ(as_text(bytes), "6789");
  EXPECT_TRUE(pread_exactly(fd.get(), {}, 10, "file"));
}

TEST_F(FileTest, PreadExactlyAtTheEndNamesExpectedAndFound) {
  write("file", "0123456789");
  UniqueFd fd(open(path("file").c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<std::uint8_t> bytes(4);
  const auto read = pread_exactly(fd.get(), bytes, 7, "disk");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kDiffers);
  EXPECT_THAT(read.error().message(), HasSubstr("disk: ends at offset 10, expected 1 bytes more"));
}

TEST_F(FileTest, PreadOfABadDescriptorIsAnEnvironmentError) {
  std::vector<std::uint8_t> bytes(4);
  const auto read = pread_exactly(-1, bytes, 0, "disk");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(read.error().system_errno, EBADF);
}

TEST_F(FileTest, WriteThatComesShortIsAnErrorNotASuccess) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limited{500, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  UniqueFd fd(open(path("file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const auto written = write_all(fd.get(), as_bytes(std::string(1000, 'x')), "disk");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(fs::file_size(path("file")), 500u);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().system_errno, EFBIG);
}

TEST_F(FileTest, ChosenStateDirectoryIsMade) {
  EXPECT_EQ(state_directory(path("a/b")).value(), path("a/b"));
  EXPECT_TRUE(fs::is_directory(path("a/b")));
}

TEST_F(FileTest, ResetDescriptorIsClosed) {
  UniqueFd fd(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int number = fd.get();
  fd.reset();
  EXPECT_FALSE(fd.valid());
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

// ---- rate_limit: only lower bounds of time, so that a busy machine cannot fail them

TEST(RateLimitTest, NoLimitDoesNotWait) {
  RateLimit limit(0);
  const auto start = steady_clock::now();
  for (int i = 0; i < 1000; ++i) limit.wait_for(1ull << 40);
  EXPECT_LT(steady_clock::now() - start, 10s);
}

TEST(RateLimitTest, AverageStaysBelowTheLimit) {
  RateLimit limit(10'000'000);
  const auto start = steady_clock::now();
  for (int i = 0; i < 40; ++i) limit.wait_for(100'000);
  EXPECT_GE(steady_clock::now() - start, 290ms);  // 400 ms less the tenth of a second saved up
}

TEST(RateLimitTest, ThreadsShareTheLimit) {
  RateLimit limit(10'000'000);
  const auto start = steady_clock::now();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) limit.wait_for(100'000);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GE(steady_clock::now() - start, 290ms);
}

TEST(RateLimitTest, UnusedTimeIsNotSavedUp) {
  RateLimit limit(10'000'000);
  limit.wait_for(1);
  const auto unused_since = steady_clock::now();
  RateLimit(10'000'000).wait_for(5'000'000);
  ASSERT_GE(steady_clock::now() - unused_since, 390ms);
  const auto start = steady_clock::now();
  for (int i = 0; i < 30; ++i) limit.wait_for(100'000);
  EXPECT_GE(steady_clock::now() - start, 190ms);
}

// ---- result, exit_status

TEST(ResultTest, SystemsReasonIsAppended) {
  const Result<> failed = fail_errno(ENOSPC, "{}: cannot be written", "disk");
  EXPECT_EQ(failed.error().message(), "disk: cannot be written: No space left on device");
  EXPECT_EQ(failed.error().code, ErrorCode::kEnvironment);
  const Result<> other = fail(ErrorCode::kUsage, "{} is odd", 3);
  EXPECT_EQ(other.error().message(), "3 is odd");
}

Result<int> twice(Result<int> value) {
  const int once = DRSEED_TRY(std::move(value));
  return once * 2;
}

TEST(ResultTest, TryGivesTheValueOrReturnsTheError) {
  EXPECT_EQ(twice(21).value(), 42);
  EXPECT_EQ(twice(fail(ErrorCode::kRefused, "no")).error().code, ErrorCode::kRefused);
}

TEST(ExitStatusTest, EveryKindOfErrorHasItsStatus) {
  EXPECT_EQ(exit_status_of(ErrorCode::kDiffers), 1);
  EXPECT_EQ(exit_status_of(ErrorCode::kUsage), 2);
  EXPECT_EQ(exit_status_of(ErrorCode::kEnvironment), 3);
  EXPECT_EQ(exit_status_of(ErrorCode::kRefused), 4);
  EXPECT_EQ(exit_status_of(ErrorCode::kInterrupted), 3);
}

}  // namespace
}  // namespace drseed
