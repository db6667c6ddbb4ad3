// Images that were cut anywhere, and resumed.

#include "seed_image_test_support.h"

namespace drseed::seed {
namespace {

// ---- resuming ----

class Resumed : public testing::Test {
 protected:
  void image_disk(std::uint64_t volume_bytes, Codec codec) {
    write_file(source_, disk_);
    ImageOptions options = make_options(volume_bytes, codec);
    const auto report = make_image(options);
    ASSERT_TRUE(report) << report.error().message();
    for (const auto& path : existing_volumes(path_)) whole_.push_back({path, content_of(path)});
  }
  ImageOptions make_options(std::uint64_t volume_bytes, Codec codec) const {
    ImageOptions options;
    options.source = source_;
    options.image = path_;
    options.compression = {codec, codec == Codec::kNone ? 0 : 1};
    options.segment_bytes = kSegment;
    options.volume_bytes = volume_bytes;
    options.whole_disk_digests = {DigestKind::kMd5, DigestKind::kSha256};
    options.note = "resumed";
    options.job = quiet();
    return options;
  }
  // As an interruption leaves it: volumes before `volume` whole, it cut at `size`, later ones not there.
  void cut(std::size_t volume, std::size_t size) {
    for (std::size_t i = 0; i < whole_.size(); ++i) {
      if (i > volume) {
        fs::remove(whole_[i].path);
      } else {
        write_file(whole_[i].path, i == volume ? whole_[i].bytes.substr(0, size) : unfinished(whole_[i].bytes));
      }
    }
  }
  // The number of volumes is written into the trailers last.
  static std::string unfinished(const std::string& bytes) {
    auto out = bytes;
    const auto at = bytes.size() - kTarEndBytes - kTrailerBytes;
    auto trailer = decode_trailer(std::string_view(bytes).substr(at, kTrailerBytes)).value();
    if (!trailer.last) trailer.volumes = 0;
    return out.replace(at, kTrailerBytes, encode_trailer(trailer));
  }
  void resume_and_expect_the_same(const std::string& what) {
    auto options = make_options(0, Codec::kZstd);  // all of it comes from the header
    options.resume = true;
    const auto report = make_image(options);
    ASSERT_TRUE(report) << what << ": " << report.error().message();
    EXPECT_TRUE(report->md5 && report->sha256);
    EXPECT_EQ(existing_volumes(path_).size(), whole_.size()) << what;
    for (const auto& volume : whole_)
      EXPECT_TRUE(content_of(volume.path) == volume.bytes) << what << " " << volume.path;
  }
  std::vector<std::size_t> boundaries(const std::string& bytes) const {
    std::vector<std::size_t> positions;
    for (std::size_t at = 0; at + kTarEndBytes < bytes.size();) {
      const auto member =
          decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes>(as_bytes(bytes).subspan(at, kTarBlockBytes)));
      if (!member) break;
      at += kTarBlockBytes + tar_padded_bytes(member->size_bytes);
      positions.push_back(at);
    }
    positions.push_back(bytes.size());
    return positions;
  }

  struct File {
    std::string path, bytes;
  };
  const TempFolder folder_;
  const std::string source_ = folder_ / "source";
  const std::string path_ = folder_ / "image";
  std::string disk_ = make_disk("0rt0r0t00", 5000);
  std::vector<File> whole_;
};

TEST_F(Resumed, AnImageCutAnywhereBecomesTheUninterruptedOne) {
  image_disk(0, Codec::kZstd);
  ASSERT_EQ(whole_.size(), 1U);
  auto cuts = boundaries(whole_[0].bytes);
  const auto header_end = cuts.front();
  std::mt19937_64 random(4);
  for (int i = 0; i < 20; ++i) cuts.push_back(header_end + random() % (whole_[0].bytes.size() - header_end));
  for (const auto size : cuts) {
    cut(0, size);
    resume_and_expect_the_same(fmt::format("cut at {}", size));
  }
}

TEST_F(Resumed, AnImageCutInItsHeaderSaysThatNothingCanBeResumed) {
  image_disk(0, Codec::kZstd);
  for (const std::size_t size : {std::size_t{0}, std::size_t{511}, std::size_t{512}, std::size_t{900}}) {
    cut(0, size);
    auto options = make_options(0, Codec::kZstd);
    options.resume = true;
    const auto report = make_image(options);
    ASSERT_FALSE(report) << size;
    EXPECT_THAT(report.error().message(), HasSubstr("--overwrite"));
    EXPECT_EQ(fs::file_size(path_), size) << "it was changed";
  }
}

TEST_F(Resumed, ADamagedSegmentIsImagedAgain) {
  image_disk(0, Codec::kZstd);
  auto bytes = whole_[0].bytes;
  bytes[boundaries(bytes)[1] + kTarBlockBytes + 100] ^= 1;
  write_file(path_, bytes);
  resume_and_expect_the_same("a flipped bit");
}

TEST_F(Resumed, AnImageInVolumesCutAnywhereBecomesTheUninterruptedOne) {
  image_disk(kVolume, Codec::kNone);
  ASSERT_GE(whole_.size(), 3U);
  std::mt19937_64 random(6);
  for (std::size_t volume = 0; volume < whole_.size(); ++volume) {
    const auto& bytes = whole_[volume].bytes;
    auto cuts = boundaries(bytes);
    const auto header_end = cuts.front();
    for (int i = 0; i < 4; ++i) cuts.push_back(header_end + random() % (bytes.size() - header_end));
    if (volume > 0) cuts.insert(cuts.end(), {0, 100, 512, header_end - 1});
    for (const auto size : cuts) {
      cut(volume, size);
      resume_and_expect_the_same(fmt::format("volume {} cut at {}", volume + 1, size));
    }
  }
}

// Volumes that an earlier image left under the same names, of the same layout and other content.
TEST_F(Resumed, VolumesOfAnotherImageAreNeitherTakenNorOverwritten) {
  const auto now = disk_;
  for (auto& byte : disk_) byte = byte == 0 ? '\0' : static_cast<char>(byte ^ 0x55 ? byte ^ 0x55 : 1);
  image_disk(kVolume, Codec::kNone);
  const auto earlier = whole_;
  for (const auto& volume : earlier) fs::remove(volume.path);
  whole_.clear();
  disk_ = now;
  image_disk(kVolume, Codec::kNone);
  ASSERT_EQ(earlier.size(), whole_.size());
  cut(0, whole_[0].bytes.size());
  for (std::size_t i = 1; i < earlier.size(); ++i) write_file(earlier[i].path, earlier[i].bytes);
  auto options = make_options(kVolume, Codec::kNone);
  options.resume = true;
  const auto report = make_image(options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kRefused);
  for (std::size_t i = 1; i < earlier.size(); ++i) EXPECT_TRUE(content_of(earlier[i].path) == earlier[i].bytes) << i;
}

TEST_F(Resumed, AnotherVersionsHeaderIsRefused) {
  image_disk(0, Codec::kZstd);
  // A header with a field that this version would not write again: every later position would differ.
  const auto& bytes = whole_[0].bytes;
  const auto header_end = boundaries(bytes).front();
  auto value = nlohmann::json::parse(bytes.substr(kTarBlockBytes, bytes.find('\0', kTarBlockBytes) - kTarBlockBytes));
  value["later"] = std::string(1000, 'x');
  value["check"] = kUnsealed;
  const auto text = seal(value.dump(2) + "\n");
  std::string other(as_text(encode_tar_header(
      {TarType::kFile, std::string(kHeaderName), text.size(), value["created_seconds"].get<std::uint64_t>()})));
  other += text + std::string(tar_padding_bytes(text.size()), '\0');
  for (const auto& rest : {std::string(), bytes.substr(header_end, 1000), bytes.substr(header_end)}) {
    write_file(path_, other + rest);
    auto options = make_options(0, Codec::kZstd);
    options.resume = true;
    const auto report = make_image(options);
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().message(), HasSubstr("another version"));
    EXPECT_TRUE(content_of(path_) == other + rest) << "it was changed";
  }
}

TEST_F(Resumed, ADiskThatHasChangedIsRefused) {
  image_disk(0, Codec::kZstd);
  cut(0, boundaries(whole_[0].bytes)[4]);
  auto changed = disk_;
  changed[kSegment + 5] = static_cast<char>(changed[kSegment + 5] ^ 1);
  write_file(source_, changed);
  auto options = make_options(0, Codec::kZstd);
  options.resume = true;
  const auto report = make_image(options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kRefused);
}

}  // namespace
}  // namespace drseed::seed
