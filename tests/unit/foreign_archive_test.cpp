// seed/foreign: tar and zip with one file in them, and what is refused.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "foreign_test_support.h"

namespace drseed::seed {
namespace {

using testing::HasSubstr;
using testing::Not;

namespace fs = std::filesystem;

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

}  // namespace
}  // namespace drseed::seed
