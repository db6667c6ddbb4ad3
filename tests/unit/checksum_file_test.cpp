// seed/checksum_file: files of digests as coreutils and others write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hex.h"
#include "foreign_test_support.h"
#include "seed/checksum_file.h"

namespace drseed::seed {
namespace {

using testing::HasSubstr;

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
