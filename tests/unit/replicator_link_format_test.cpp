// The link protocol's bytes: what goes in comes out; whatever is damaged, cut or beyond the limits is refused by name.

#include <gtest/gtest.h>

#include "tests/unit/replicator_format_test_support.h"

namespace drseed::replicator {
namespace {

Bytes bytes_of(const HelloBytes& hello) {
  return {reinterpret_cast<const std::uint8_t*>(&hello), sizeof hello};
}

std::vector<LinkMessage> sample_messages() {
  return {{MessageType::kPing, 77, ""},
          {MessageType::kPong, 77, ""},
          {MessageType::kGoodbye, 0, ""},
          {MessageType::kError, static_cast<std::uint64_t>(LinkError::kBusy), "linked already"},
          {MessageType::kHashSecret, 0, std::string(kHashSecretBytes, '\xfe')}};
}

TEST(LinkFrame, OfEveryTypeComesBackAsItWasSent) {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    for_each_type([&](FrameType type) {
      const auto sent = sample_of(type, random, 512 * static_cast<std::uint32_t>(1 + below(random, 16)));
      const auto received = receive(sent.bytes());
      ASSERT_TRUE(received) << received.error().message();
      ASSERT_TRUE(received->frame && same(*received->frame, sent.frame)) << static_cast<int>(type);
      ASSERT_EQ(received->frame->payload, kNoPayload);
      ASSERT_EQ(received->info.data_bytes, sent.data.size());
    });
  }
}

TEST(LinkFrame, IsAppendedToWhatIsThere) {
  Random random(1);
  const auto sent = sample_of(FrameType::kView, random);
  std::vector<std::uint8_t> out = {1, 2, 3};
  encode_frame(sent.frame, {}, Compression::kNone, out);
  EXPECT_EQ(std::vector(out.begin(), out.begin() + 3), (std::vector<std::uint8_t>{1, 2, 3}));
  EXPECT_EQ(std::vector(out.begin() + 3, out.end()), sent.bytes());
}

TEST(LinkFrame, OfTheLargestMapAndDataIsRead) {
  Random random(1);
  auto write = sample_of(FrameType::kWrite, random, 1 << 20);
  write.frame.range.offset_bytes = bitmap::kVolumeBytesMax - (1 << 20);
  EXPECT_TRUE(receive(write.bytes()));
  FrameBody map;
  for (std::uint64_t i = 0; i < kMapRunsPerFrame; ++i)
    map.runs.push_back({bitmap::kBlocksMax - 2 * (kMapRunsPerFrame - i), 2});
  Sent sent;
  sent.frame.type = FrameType::kMap;
  sent.frame.body = std::make_shared<const FrameBody>(map);
  const auto received = receive(sent.bytes());
  ASSERT_TRUE(received) << received.error().message();
  EXPECT_EQ(received->frame->body->runs, map.runs);
  EXPECT_EQ(received->info.body_bytes, kFrameBodyBytesMax);
}

TEST(LinkFrame, OfCompressedDataSaysBothLengths) {
  Random random(1);
  auto sent = sample_of(FrameType::kResync, random, 4096);
  sent.data.resize(100);
  for (const auto compression : {Compression::kZlib, Compression::kZstd}) {
    sent.compression = compression;
    const auto received = receive(sent.bytes());
    ASSERT_TRUE(received) << received.error().message();
    EXPECT_EQ(received->info.compression, compression);
    EXPECT_EQ(received->info.data_bytes, 100U);
    EXPECT_EQ(received->frame->range.length_bytes, 4096U);
  }
}

TEST(LinkMessage, OfEveryTypeComesBackAsItWasSent) {
  for (const auto& message : sample_messages()) {
    const auto received = receive(encode_message(message));
    ASSERT_TRUE(received) << received.error().message();
    EXPECT_EQ(received->message, message);
  }
}

TEST(LinkMessage, TextThatIsNotPrintableOrTooLongIsMadeFit) {
  const auto received = receive(encode_message({MessageType::kError, 1, "a\n\xff" + std::string(2000, 'b')}));
  ASSERT_TRUE(received);
  EXPECT_EQ(received->message->body, "a??" + std::string(kMessageTextBytesMax - 3, 'b'));
}

TEST(LinkHello, ComesBackAsItWasSent) {
  const auto hello = sample_hello();
  const auto received = decode_hello(bytes_of(encode_hello(hello)));
  ASSERT_TRUE(received) << received.error().message();
  EXPECT_EQ(*received, hello);
}

TEST(LinkHello, AgreesOnTheNewestCommonVersionTheCommonFeaturesAndTheLargerSession) {
  auto mine = sample_hello();
  auto theirs = sample_hello();
  mine.node_id = id_of(0x33);
  mine.features = kFeatureZlib | 1024;
  theirs.version = 5;
  theirs.session = mine.session + 9;
  const LinkTerms terms{1, kFeatureZlib, theirs.session};
  EXPECT_EQ(agree(mine, theirs), terms);
  EXPECT_EQ(agree(theirs, mine), terms);
}

struct Disagreement {
  const char* name;
  void (*change)(Hello&);
  const char* says;
};
class DisagreeingHello : public testing::TestWithParam<Disagreement> {};

TEST_P(DisagreeingHello, IsRefusedWithBothValues) {
  auto mine = sample_hello();
  mine.node_id = id_of(0x33);
  mine.node_name = "dr2";
  auto theirs = sample_hello();
  ASSERT_TRUE(agree(mine, theirs));
  GetParam().change(theirs);
  for (const auto& terms : {agree(mine, theirs), agree(theirs, mine)}) {
    ASSERT_FALSE(terms);
    EXPECT_EQ(terms.error().code, ErrorCode::kDiffers);
    EXPECT_NE(terms.error().message().find(GetParam().says), std::string::npos) << terms.error().message();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DisagreeingHello,
    testing::Values(Disagreement{"version", [](Hello& hello) { hello.version_min = hello.version = 2; }, "2 to 2"},
                    Disagreement{"mirror", [](Hello& hello) { hello.mirror_id = id_of(0xee); }, "eeeeeeee"},
                    Disagreement{"node", [](Hello& hello) { hello.node_id = id_of(0x33); }, "the same node"}),
    [](const auto& test) { return test.param.name; });

TEST(LinkHello, OfANewerVersionMayHoldMoreThanThisOneKnows) {
  auto hello = encode_hello(sample_hello());
  hello.version = kLinkVersion + 1;
  hello.reserved[0] = 1;
  hello.check = check_of(hello);
  EXPECT_TRUE(decode_hello(bytes_of(hello)));
}

// ---- Damage

TEST(DamagedLink, EveryTruncationOfAFrameIsRefused) {
  Random random(2);
  for_each_type([&](FrameType type) {
    const auto bytes = sample_of(type, random).bytes();
    for (std::size_t size = 0; size < bytes.size(); ++size)
      ASSERT_FALSE(receive(Bytes(bytes).first(size))) << static_cast<int>(type) << " at " << size;
  });
}

void expect_every_flip_refused(std::vector<std::uint8_t> bytes) {
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const auto mask = static_cast<std::uint8_t>(1 << bit % 8);
    bytes[bit / 8] ^= mask;
    const auto received = receive(bytes);
    ASSERT_FALSE(received) << "bit " << bit;
    ASSERT_EQ(received.error().code, ErrorCode::kDiffers);
    bytes[bit / 8] ^= mask;
  }
}

TEST(DamagedLink, EveryFlippedBitOfAFrameIsRefused) {
  Random random(3);
  for_each_type([&](FrameType type) { expect_every_flip_refused(sample_of(type, random).bytes()); });
  for (const auto& message : sample_messages()) expect_every_flip_refused(encode_message(message));
}

TEST(DamagedLink, EveryTruncationAndEveryFlippedBitOfAHelloIsRefused) {
  auto hello = encode_hello(sample_hello());
  for (std::size_t size = 0; size < sizeof hello; ++size) ASSERT_FALSE(decode_hello(bytes_of(hello).first(size)));
  auto* bytes = reinterpret_cast<std::uint8_t*>(&hello);
  for (std::size_t bit = 0; bit < 8 * sizeof hello; ++bit) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    ASSERT_FALSE(decode_hello(bytes_of(hello))) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  EXPECT_TRUE(decode_hello(bytes_of(hello)));
}

// ---- Wrong fields behind right checksums

struct WrongField {
  const char* name;
  FrameType type;
  void (*change)(FrameHeaderBytes&);
  const char* says;
};
class WrongHeaderField : public testing::TestWithParam<WrongField> {};

TEST_P(WrongHeaderField, IsRefusedWithTheFieldsName) {
  Random random(4);
  const auto sent = sample_of(GetParam().type, random);
  const auto bytes = sent.bytes();
  auto header = struct_at<FrameHeaderBytes>(bytes, 0);
  ASSERT_TRUE(receive(bytes));
  GetParam().change(header);
  header.check = check_of(header);
  const auto info = decode_header({reinterpret_cast<const std::uint8_t*>(&header), sizeof header});
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kDiffers);
  EXPECT_NE(info.error().message().find(GetParam().says), std::string::npos) << info.error().message();
}

#define FIELD(name, type, statement, says)                                          \
  WrongField {                                                                      \
    name, FrameType::type, [](FrameHeaderBytes& header) { header.statement; }, says \
  }

INSTANTIATE_TEST_SUITE_P(
    All, WrongHeaderField,
    testing::Values(FIELD("magic", kPull, magic = 1, "not the beginning"), FIELD("type_0", kPull, type = 0, "type 0"),
                    FIELD("type_after_the_core", kPull, type = 26, "type 26"),
                    FIELD("type_last", kPull, type = 133, "type 133"),
                    FIELD("flag_of_another_type", kWrite, flags = kFlagYes, "flags 4"),
                    FIELD("flag_unknown", kWrite, flags = 128, "flags 128"),
                    FIELD("reserved", kWrite, reserved = 1, "reserved byte 1"),
                    FIELD("compression", kWrite, compression = 3, "compression 3"),
                    FIELD("compression_without_data", kZero, compression = 1, "compression 1"),
                    FIELD("compression_of_full_length", kWrite, compression = 1, "data length 512"),
                    FIELD("mask_beyond_the_members", kMark, mask = 256, "mask 256"),
                    FIELD("mask_elsewhere", kWrite, mask = 1, "mask 1"),
                    FIELD("body_of_a_write", kWrite, body_bytes = 24, "body length 24"),
                    FIELD("body_of_a_view_short", kView, body_bytes = 87, "body length 87"),
                    FIELD("body_of_a_view_odd", kView, body_bytes = 89, "body length 89"),
                    FIELD("body_of_a_view_long", kView, body_bytes = 88 + 65 * 24, "body length 1648"),
                    FIELD("body_of_a_map_long", kMap, body_bytes = 65552, "body length 65552"),
                    FIELD("body_of_a_map_odd", kMap, body_bytes = 15, "body length 15"),
                    FIELD("body_of_no_generation", kGeneration, body_bytes = 0, "body length 0"),
                    FIELD("body_of_a_generation_long", kGeneration, body_bytes = 65 * 24, "body length 1560"),
                    FIELD("body_of_a_seed", kSeedOpen, body_bytes = 17, "body length 17"),
                    FIELD("body_of_a_check", kCheck, body_bytes = 0, "body length 0"),
                    FIELD("body_check_without_body", kPull, body_check = 5, "body checksum 5"),
                    FIELD("data_of_another_length", kWrite, data_bytes = 511, "data length 511"),
                    FIELD("data_missing", kWrite, data_bytes = 0, "data length 0"),
                    FIELD("data_of_a_zero", kZero, data_bytes = 512, "data length 512"),
                    FIELD("data_check_without_data", kZero, data_check = 5, "data checksum 5"),
                    FIELD("length_0", kZero, length_bytes = 0, "range of length 0"),
                    FIELD("length_beyond_a_piece", kZero, length_bytes = (1 << 20) + 512, "range of length 1049088"),
                    FIELD("length_in_a_sector", kZero, length_bytes = 513, "range of length 513"),
                    FIELD("range_elsewhere", kFlush, length_bytes = 512, "range of length 512"),
                    FIELD("offset_elsewhere", kFlush, offset_bytes = 512, "range of length"),
                    FIELD("offset_in_a_sector", kZero, offset_bytes = 1, "range at offset 1"),
                    FIELD("offset_beyond_the_volume", kZero, offset_bytes = std::uint64_t{1} << 56,
                          "range at offset 72057594037927936"),
                    FIELD("offset_that_wraps", kZero, offset_bytes = ~std::uint64_t{511}, "range at offset"),
                    FIELD("sequence_0", kWrite, sequence = 0, "sequence 0"),
                    FIELD("sequence_any", kMark, sequence = kAnySequence, "sequence 18446744073709551615"),
                    FIELD("sequence_elsewhere", kView, sequence = 1, "sequence 1"),
                    FIELD("depends_on_itself", kWrite, depends_on = header.sequence, "depends_on"),
                    FIELD("depends_on_elsewhere", kMark, depends_on = 1, "depends_on 1"),
                    FIELD("number_0", kResync, number = 0, "number 0"),
                    FIELD("number_elsewhere", kWrite, number = 1, "number 1")),
    [](const auto& test) { return test.param.name; });

// Of all types: what frame.h does not name for it must be zero.
TEST(LinkFrame, WithAFieldOrFlagThatItsTypeDoesNotUseIsRefused) {
  constexpr ul64 FrameHeaderBytes::*kLongFields[] = {&FrameHeaderBytes::sequence, &FrameHeaderBytes::depends_on,
                                                     &FrameHeaderBytes::number, &FrameHeaderBytes::offset_bytes};
  Random random(7);
  for_each_type([&](FrameType type) {
    std::vector<FrameHeaderBytes> samples;
    while (samples.size() < 50) samples.push_back(struct_at<FrameHeaderBytes>(sample_of(type, random).bytes(), 0));
    const auto expect_unused_refused = [&](auto is_set, auto set) {
      if (std::any_of(samples.begin(), samples.end(), is_set)) return;
      auto header = samples.front();
      set(header);
      header.check = check_of(header);
      EXPECT_FALSE(decode_header({reinterpret_cast<const std::uint8_t*>(&header), sizeof header}))
          << "type " << static_cast<int>(type);
    };
    for (const auto field : kLongFields) {
      expect_unused_refused([&](const auto& header) { return header.*field != 0; },
                            [&](auto& header) { header.*field = 512; });
    }
    expect_unused_refused([](const auto& header) { return header.mask != 0; }, [](auto& header) { header.mask = 1; });
    expect_unused_refused([](const auto& header) { return header.length_bytes != 0; },
                          [](auto& header) { header.length_bytes = 512; });
    for (unsigned flag = 1; flag < 256; flag *= 2) {
      expect_unused_refused([&](const auto& header) { return (header.flags & flag) != 0; },
                            [&](auto& header) { header.flags |= static_cast<std::uint8_t>(flag); });
    }
  });
}

// Puts `body` in place of the frame's, with right checksums.
Result<Received> with_body(FrameType type, const std::vector<std::uint8_t>& body) {
  Random random(5);
  auto header = struct_at<FrameHeaderBytes>(sample_of(type, random).bytes(), 0);
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.body_check = body.empty() ? 0 : XXH3_64bits(body.data(), body.size());
  header.check = check_of(header);
  std::vector<std::uint8_t> bytes;
  append(bytes, header);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return receive(bytes);
}

void expect_refused(const Result<Received>& received, std::string_view says) {
  ASSERT_FALSE(received) << says;
  EXPECT_EQ(received.error().code, ErrorCode::kDiffers);
  EXPECT_NE(received.error().message().find(says), std::string::npos) << received.error().message();
}

struct WrongView {
  const char* name;
  void (*change)(ViewBytes&);
  const char* says;
};
class WrongViewField : public testing::TestWithParam<WrongView> {};

TEST_P(WrongViewField, IsRefusedWithTheFieldsName) {
  ViewBytes view{};
  view.volume_bytes = kGiB;
  const auto send = [&] {
    std::vector<std::uint8_t> body;
    append(body, view);
    append_lineage(body, {{id_of(1), 0}, {id_of(2), 7}});
    return with_body(FrameType::kView, body);
  };
  ASSERT_TRUE(send());
  GetParam().change(view);
  expect_refused(send(), GetParam().says);
}

#define VIEW(name, statement, says)                     \
  WrongView {                                           \
    name, [](ViewBytes& view) { view.statement; }, says \
  }

INSTANTIATE_TEST_SUITE_P(
    All, WrongViewField,
    testing::Values(VIEW("volume_0", volume_bytes = 0, "volume size 0"),
                    VIEW("volume_odd", volume_bytes = 513, "volume size 513"),
                    VIEW("volume_too_large", volume_bytes = (std::uint64_t{1} << 56) + 512, "volume size"),
                    VIEW("low_above_high", low = 1, "sequence low 1 is above high 0"),
                    VIEW("low_any", high = view.low = kAnySequence, "sequence low"),
                    VIEW("base_any", base = kAnySequence, "base"), VIEW("flags", flags = 512, "flags 512"),
                    VIEW("node", node = 8, "node 8"), VIEW("promise_node", promise_node = 8, "promise to node 8"),
                    VIEW("reserved", reserved[5] = 1, "reserved"), VIEW("seed", seed[0] = 1, "seed")),
    [](const auto& test) { return test.param.name; });

TEST(WrongLineage, WithAGenerationTwiceIsRefused) {
  std::vector<std::uint8_t> body;
  append_lineage(body, {{id_of(1), 0}, {id_of(2), 7}, {id_of(1), 9}});
  expect_refused(with_body(FrameType::kGeneration, body), "lineage holds generation 01010101");
}

TEST(WrongMap, IsRefusedWithTheRun) {
  const auto send = [](const std::vector<bitmap::BlockRun>& runs) {
    std::vector<std::uint8_t> body;
    for (const auto& run : runs) append(body, RunBytes{run.first, run.count});
    return with_body(FrameType::kMap, body);
  };
  ASSERT_TRUE(send({}));
  ASSERT_TRUE(send({{5, 2}, {7, 1}}));
  expect_refused(send({{5, 0}}), "run of blocks 0");
  expect_refused(send({{5, 2}, {6, 1}}), "run at block 6");
  expect_refused(send({{5, 2}, {1, 1}}), "run at block 1");
  expect_refused(send({{bitmap::kBlocksMax, 1}}), "run at block 68719476736");
  expect_refused(send({{1, ~std::uint64_t{0}}}), "run at block 1");
  expect_refused(send({{5, ~std::uint64_t{0} - 4}, {1, 1}}), "run at block 5");
}

TEST(WrongMessage, IsRefusedWithTheField) {
  const auto send = [](std::uint64_t code, char c) {
    auto bytes = encode_message({MessageType::kError, code, "no"});
    bytes.back() = static_cast<std::uint8_t>(c);
    auto header = struct_at<FrameHeaderBytes>(bytes, 0);
    header.body_check = XXH3_64bits(&bytes[sizeof header], 2);
    header.check = check_of(header);
    std::memcpy(bytes.data(), &header, sizeof header);
    return receive(bytes);
  };
  ASSERT_TRUE(send(1, 'o'));
  expect_refused(send(7, 'o'), "code 7");
  expect_refused(send(1, '\n'), "text");
}

struct WrongHello {
  const char* name;
  void (*change)(HelloBytes&);
  const char* says;
};
class WrongHelloField : public testing::TestWithParam<WrongHello> {};

TEST_P(WrongHelloField, IsRefusedWithTheFieldsName) {
  auto hello = encode_hello(sample_hello());
  GetParam().change(hello);
  hello.check = check_of(hello);
  const auto decoded = decode_hello(bytes_of(hello));
  ASSERT_FALSE(decoded);
  EXPECT_NE(decoded.error().message().find(GetParam().says), std::string::npos) << decoded.error().message();
}

#define HELLO(name, statement, says)                       \
  WrongHello {                                             \
    name, [](HelloBytes& hello) { hello.statement; }, says \
  }

INSTANTIATE_TEST_SUITE_P(All, WrongHelloField,
                         testing::Values(HELLO("magic", magic[0] = 'X', "not a drseed link"),
                                         HELLO("versions", version_min = 2, "oldest version 2"),
                                         HELLO("session", session = 0, "session 0"),
                                         HELLO("reserved", reserved[87] = 1, "reserved"),
                                         HELLO("mirror_name_control", mirror_name[1] = '\n', "mirror name"),
                                         HELLO("mirror_name_padding", mirror_name[30] = 'x', "mirror name"),
                                         HELLO("node_name_without_end", node_name.fill('x'), "node name")),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace drseed::replicator
