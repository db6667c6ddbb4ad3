// header.json, trailer.json and the journal of an apply: what is encoded is decoded, anything else is refused.

#include "seed_format_test_support.h"

namespace drseed::seed {
namespace {

// ---- header.json and trailer.json ----

ImageHeader some_header() {
  ImageHeader header;
  header.image_id = some_id();
  header.created_seconds = 1700000000;
  header.writer = "drseed test";
  header.source = {"/dev/x", "host", 512, 4096, "model", "serial", "by-id", "ext4", "uuid", "label", "gpt", "uuid2"};
  header.disk_bytes = 10 << 20;
  header.segment_bytes = kSegment;
  header.codec = Codec::kGzip;
  header.level = 6;
  header.volume = 3;
  header.volume_bytes = 5 << 20;
  header.range_offset_bytes = 2 << 20;
  header.whole_disk_digests = {"md5", "sha256"};
  header.note = "a \"note\" with \"check\": \"" + std::string(64, '1') + "\"\n";
  header.passport = {{"check", "x"}, {"generation", 7}};
  return header;
}

ImageTrailer some_trailer() {
  ImageTrailer t;
  t.image_id = some_id();
  t.disk_bytes = 10 << 20;
  t.segment_bytes = kSegment;
  t.codec = Codec::kNone;
  t.volume = 2;
  t.volumes = 2;
  t.last = true;
  t.range = {1 << 20, 9 << 20};
  t.data_segments = 11;
  t.first_ordinal = 5;
  t.data_bytes = 12;
  t.stored_bytes = 13;
  t.unreadable_bytes = 14;
  t.index_position_bytes = 15;
  t.index_bytes = 16;
  t.data_end_position_bytes = 17;
  t.header_sha256.fill(1);
  t.sums_sha256.fill(2);
  t.index_sha256.fill(3);
  t.restore_sha256.fill(4);
  t.header_bytes = 18;
  t.sums_bytes = 19;
  t.restore_bytes = 20;
  t.merkle_root.fill(5);
  t.image_merkle_root.emplace().fill(6);
  t.md5 = std::string(32, 'a');
  t.sha256 = std::string(64, 'b');
  return t;
}

// The same text with one change to its JSON, sealed anew.
template <typename Change>
std::string header_with(Change change) {
  auto value = json::parse(encode_header(some_header()));
  change(value);
  if (value.contains("check")) value["check"] = kUnsealed;
  const auto text = value.dump(2);
  return value.contains("check") && value["check"].is_string() ? seal(text) : text;
}

template <typename Change>
std::string trailer_with(Change change) {
  auto value = json::parse(encode_trailer(some_trailer()));
  change(value);
  value["check"] = kUnsealed;
  auto text = value.dump(2);
  text.resize(kTrailerBytes, ' ');
  return seal(text);
}

TEST(HeaderJson, WhatIsEncodedIsDecoded) {
  const auto decoded = decode_header(encode_header(some_header()));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, some_header());
  ImageHeader plain;
  plain.image_id = some_id();
  EXPECT_EQ(decode_header(encode_header(plain)).value(), plain);
}

TEST(HeaderJson, EveryFlippedBitIsRefused) {
  const auto good = encode_header(some_header());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(decode_header(bad)) << "bit " << bit;
  }
}

TEST(HeaderJson, AnUnknownVersionNamesTheWayOut) {
  const auto decoded = decode_header(header_with([](json& j) { j["version"] = 2; }));
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message(), HasSubstr("newer drseed"));
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["version"] = 0; })));
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["format"] = "other"; })));
}

TEST(HeaderJson, EveryFieldThatReadingNeedsMustBeThereAndOfItsType) {
  const auto good = json::parse(encode_header(some_header()));
  for (const auto& item : good.items()) {
    const auto& key = item.key();
    const auto& value = item.value();
    if (key == "passport") continue;  // null where there is none
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j.erase(key); }))) << key;
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j[key] = nullptr; })) && key != "check") << key;
    const json wrong[] = {json::array({1}), 1.5, -1, "text", true, json::object()};
    for (const auto& other : wrong) {
      if (other.type() == value.type() || key == "check") continue;
      if (value.is_number() && other.is_number_unsigned()) continue;
      EXPECT_FALSE(decode_header(header_with([&](json& j) { j[key] = other; }))) << key << " " << other;
    }
  }
  for (const auto& fact : good["source"].items())
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j["source"].erase(fact.key()); }))) << fact.key();
}

TEST(HeaderJson, NumbersOutOfLimitsAreRefused) {
  for (const auto* key : {"disk_bytes", "segment_bytes", "level", "volume", "volume_bytes", "range_offset_bytes",
                          "created_seconds", "version"}) {
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j[key] = UINT64_MAX; }))) << key;
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j[key] = -1; }))) << key;
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j[key] = 1e300; }))) << key;
  }
  for (const auto bytes : std::initializer_list<std::uint64_t>{0, 1, kSegmentBytesMin / 2, kSegmentBytesMax * 2,
                                                               3 << 16, (1ULL << 32) + kSegment})
    EXPECT_FALSE(decode_header(header_with([&](json& j) { j["segment_bytes"] = bytes; }))) << bytes;
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["range_offset_bytes"] = (10 << 20) + kSegment; })));
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["range_offset_bytes"] = kSegment + 512; })));
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["volume"] = 0; })));
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["image_id"] = "none"; })));
  EXPECT_FALSE(decode_header(header_with([](json& j) { j["codec"] = "lzma"; })));
}

TEST(HeaderJson, UnknownFieldsArePassedOver) {
  const auto decoded = decode_header(header_with([](json& j) { j["later"] = {{"field", {1, 2, 3}}}; }));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, some_header());
}

TEST(HeaderJson, TextThatIsNoUtf8IsReplacedAndReadBack) {
  auto header = some_header();
  header.note = "\xff\xfe latin \xe4";
  header.source.path = "/dev/\x80\xff";
  header.source.model = std::string("\0\x01", 2);
  const auto text = encode_header(header);
  const auto decoded = decode_header(text);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_THAT(decoded->note, HasSubstr("latin"));
  EXPECT_EQ(encode_header(*decoded), text) << "a resumed image must have the same header";
}

TEST(HeaderJson, FactsOfTheSourceThatAreTooLongAreCutAndReadBack) {
  auto header = some_header();
  header.source.path = std::string(4095, '\xff');  // three bytes each when replaced
  header.source.host = std::string(5000, 'h');
  header.source.filesystem_label = std::string(10000, '\x01');
  const auto decoded = decode_header(encode_header(header));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(decoded->source.host, std::string(4096, 'h'));
  EXPECT_EQ(decoded->source.path.size() % 3, 0U) << "cut within a character";
  EXPECT_EQ(encode_header(*decoded), encode_header(header));
}

TEST(HeaderJson, DeeplyNestedTextIsRefused) {
  for (const auto* open : {"[", "{\"a\":"}) {
    std::string nested;
    while (nested.size() < kHeaderBytesMax - 100) nested += open;
    EXPECT_FALSE(decode_header(nested));
    EXPECT_FALSE(decode_header("{\"passport\":" + nested));
  }
  // One that is right in all else.
  auto header = some_header();
  header.passport = "MARK";
  auto text = encode_header(header);
  ASSERT_TRUE(decode_header(text));
  text.replace(text.find("\"MARK\""), 6, std::string(100'000, '[') + std::string(100'000, ']'));
  const auto decoded = decode_header(seal(text));
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message(), HasSubstr("deep"));
}

TEST(HeaderJson, OverlongTextIsRefused) {
  auto header = some_header();
  header.note = std::string(kHeaderBytesMax, 'n');
  EXPECT_FALSE(decode_header(encode_header(header)));
}

TEST(TrailerJson, WhatIsEncodedIsDecoded) {
  auto trailer = some_trailer();
  auto decoded = decode_trailer(encode_trailer(trailer));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, trailer);
  trailer.md5.reset();
  trailer.sha256.reset();
  trailer.image_merkle_root.reset();
  trailer.last = false;
  trailer.volumes = 0;
  decoded = decode_trailer(encode_trailer(trailer));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, trailer);
}

TEST(TrailerJson, TheLongestOneFits) {
  auto t = some_trailer();
  t.disk_bytes = kDiskBytesMax;
  t.segment_bytes = kSegmentBytesMax;
  t.volume = t.volumes = UINT32_MAX;
  t.range = {kDiskBytesMax - kSegmentBytesMax, kSegmentBytesMax};
  for (auto* number : {&t.data_segments, &t.first_ordinal, &t.data_bytes, &t.stored_bytes, &t.unreadable_bytes,
                       &t.data_end_position_bytes})
    *number = INT64_MAX;
  t.index_position_bytes = INT64_MAX / 2;
  t.index_bytes = t.sums_bytes = (std::uint64_t{1} << 33) - 1;
  t.header_bytes = kHeaderBytesMax;
  t.restore_bytes = kRestoreBytesMax;
  const auto text = encode_trailer(t);
  ASSERT_EQ(text.size(), kTrailerBytes);
  const auto decoded = decode_trailer(text);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, t);
}

TEST(TrailerJson, EveryFlippedByteIsRefused) {
  const auto good = encode_trailer(some_trailer());
  ASSERT_EQ(good.size(), kTrailerBytes);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int change : {1, 0x20, 0xff}) {
      auto bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      EXPECT_FALSE(decode_trailer(bad)) << "byte " << at;
    }
  }
  EXPECT_FALSE(decode_trailer(good.substr(1)));
  EXPECT_FALSE(decode_trailer(good + " "));
  EXPECT_FALSE(decode_trailer(""));
}

TEST(TrailerJson, EveryFieldThatReadingNeedsMustBeThereAndWithinItsLimits) {
  const auto good = json::parse(encode_trailer(some_trailer()));
  const std::set<std::string> optional{"md5", "sha256", "image_merkle_root", "check"};
  for (const auto& item : good.items()) {
    const auto& key = item.key();
    const auto& value = item.value();
    if (optional.contains(key)) continue;
    EXPECT_FALSE(decode_trailer(trailer_with([&](json& j) { j.erase(key); }))) << key;
    EXPECT_FALSE(decode_trailer(trailer_with([&](json& j) { j[key] = json::array(); }))) << key;
    if (value.is_number()) {
      EXPECT_FALSE(decode_trailer(trailer_with([&](json& j) { j[key] = UINT64_MAX; }))) << key;
      EXPECT_FALSE(decode_trailer(trailer_with([&](json& j) { j[key] = -1; }))) << key;
    }
    if (!value.is_object()) continue;
    for (const auto& field : value.items()) {
      const auto& inner = field.key();
      EXPECT_FALSE(decode_trailer(trailer_with([&](json& j) { j[key].erase(inner); }))) << key << "." << inner;
      if (!field.value().is_number()) continue;
      EXPECT_FALSE(decode_trailer(trailer_with([&](json& j) { j[key][inner] = UINT64_MAX; }))) << key << inner;
    }
  }
  EXPECT_FALSE(decode_trailer(trailer_with([](json& j) { j["md5"] = "short"; })));
  EXPECT_FALSE(decode_trailer(trailer_with([](json& j) { j["sha256"] = std::string(64, 'G'); })));
  EXPECT_FALSE(decode_trailer(trailer_with([](json& j) { j["merkle_root"] = std::string(63, 'a'); })));
  EXPECT_FALSE(decode_trailer(trailer_with([](json& j) { j["range"]["length_bytes"] = (9 << 20) + 1; })));
  EXPECT_FALSE(decode_trailer(trailer_with([](json& j) { j["range"]["offset_bytes"] = 512; })));
  EXPECT_FALSE(decode_trailer(trailer_with([](json& j) { j["version"] = 2; })));
}

TEST(TrailerJson, UnknownFieldsArePassedOver) {
  const auto decoded = decode_trailer(trailer_with([](json& j) { j["later"] = "field"; }));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, some_trailer());
}

// ---- apply journal ----

struct JournalFile : testing::Test {
  std::string folder = testing::TempDir() + "drseed-journal-" + to_string(random_id());
  std::string path = folder + "/a.journal";
  JournalFile() { std::filesystem::create_directories(folder); }
  ~JournalFile() override { std::filesystem::remove_all(folder); }

  ApplyJournal some_journal() const {
    ApplyJournal journal;
    journal.image = "image \xff";
    journal.target = "target";
    journal.done.add({0, 4096});
    journal.done.add({1 << 20, 512});
    journal.damaged = {{{8192, 4096}, "damaged"}};
    return journal;
  }
};

TEST_F(JournalFile, WhatIsSavedIsLoaded) {
  EXPECT_FALSE(load_journal(path).value());
  const auto saved = some_journal();
  ASSERT_TRUE(save_journal(path, saved));
  const auto loaded = load_journal(path);
  ASSERT_TRUE(loaded && *loaded) << (loaded ? "" : loaded.error().message());
  EXPECT_EQ((*loaded)->target, "target");
  EXPECT_EQ((*loaded)->done.ranges(), saved.done.ranges());
  EXPECT_TRUE((*loaded)->damaged.empty()) << "what is damaged is found anew";
  ASSERT_TRUE(remove_journal(path));
  ASSERT_TRUE(remove_journal(path));
  EXPECT_FALSE(load_journal(path).value());
}

// A range that is wrongly taken for done would never be written.
TEST_F(JournalFile, EveryFlippedBitIsRefused) {
  ASSERT_TRUE(save_journal(path, some_journal()));
  const auto good = read_file(path, 1 << 20).value();
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1 << at % 8);
    std::filesystem::remove(path);
    ASSERT_TRUE(write_file_atomically(path, bad));
    EXPECT_FALSE(load_journal(path)) << "byte " << at;
  }
}

}  // namespace
}  // namespace drseed::seed
