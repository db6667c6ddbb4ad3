#include "replicator/core/link_format.h"

#include <cassert>

namespace drseed::replicator {
namespace {

constexpr std::array<char, 8> kHelloMagic = {'d', 'r', 's', 'e', 'e', 'd', 'L', 'K'};
constexpr std::uint32_t kFrameMagic = 0x46524b4c;  // "LKRF"

enum class Body : std::uint8_t { kNone, kView, kLineage, kSeed, kRuns, kHash, kText, kSecret };

// Fields of a header that a type uses; the others are zero.
constexpr unsigned kSequence = 1;
constexpr unsigned kDependsOn = 2;
constexpr unsigned kNumber = 4;
constexpr unsigned kRange = 8;
constexpr unsigned kMask = 16;
constexpr unsigned kData = 32;
constexpr unsigned kNumberNotZero = 64;
constexpr unsigned kSequenceNotZero = 128;

struct Shape {
  std::uint8_t type;
  std::string_view name;
  unsigned fields;
  std::uint8_t flags;
  Body body;
};

constexpr Shape shape(FrameType type, std::string_view name, unsigned fields, unsigned flags, Body body) {
  return {static_cast<std::uint8_t>(type), name, fields, static_cast<std::uint8_t>(flags), body};
}
constexpr Shape shape(MessageType type, std::string_view name, unsigned fields, Body body) {
  return {static_cast<std::uint8_t>(type), name, fields, 0, body};
}

constexpr unsigned kOrdered = kSequence | kSequenceNotZero | kDependsOn;
constexpr unsigned kNumbered = kNumber | kNumberNotZero;
constexpr unsigned kWriteFlags = kFlagFua | kFlagWantWritten;

// FORMAT.md's table.
constexpr Shape kShapes[] = {
    shape(FrameType::kView, "view", 0, 0, Body::kView),
    shape(FrameType::kPromiseAsk, "promise-ask", kNumber | kSequence, kFlagReturn, Body::kNone),
    shape(FrameType::kPromiseAnswer, "promise-answer", kNumber, kFlagYes, Body::kView),
    shape(FrameType::kPull, "pull", 0, 0, Body::kNone),
    shape(FrameType::kBegin, "begin", kNumber, kFlagConsent, Body::kView),
    shape(FrameType::kWrite, "write", kOrdered | kRange | kData, kWriteFlags, Body::kNone),
    shape(FrameType::kZero, "zero", kOrdered | kRange, kWriteFlags, Body::kNone),
    shape(FrameType::kFlush, "flush", kOrdered, kWriteFlags, Body::kNone),
    shape(FrameType::kResync, "resync", kNumbered | kRange | kData, 0, Body::kNone),
    shape(FrameType::kResyncZero, "resync-zero", kNumbered | kRange, 0, Body::kNone),
    shape(FrameType::kCheck, "check", kNumbered | kRange, 0, Body::kHash),
    shape(FrameType::kResyncEnd, "resync-end", kSequence, 0, Body::kNone),
    shape(FrameType::kGeneration, "generation", 0, 0, Body::kLineage),
    shape(FrameType::kMark, "mark", kSequence | kMask, 0, Body::kNone),
    shape(FrameType::kOutdate, "outdate", 0, 0, Body::kNone),
    shape(FrameType::kSeedOpen, "seed-open", kSequence, 0, Body::kSeed),
    shape(FrameType::kBeginReady, "begin-ready", kNumber, kFlagYes, Body::kView),
    shape(FrameType::kMap, "map", 0, 0, Body::kRuns),
    shape(FrameType::kMapEnd, "map-end", 0, 0, Body::kNone),
    shape(FrameType::kWritten, "written", kSequence | kSequenceNotZero, 0, Body::kNone),
    shape(FrameType::kDurable, "durable", kSequence | kNumber, 0, Body::kNone),
    shape(FrameType::kInSync, "in-sync", kSequence, 0, Body::kNone),
    shape(FrameType::kCheckResult, "check-result", kNumbered, kFlagYes, Body::kNone),
    shape(FrameType::kOutdated, "outdated", 0, 0, Body::kNone),
    shape(FrameType::kPromiseRelease, "promise-release", kNumber, 0, Body::kNone),
    shape(MessageType::kPing, "ping", kNumber, Body::kNone),
    shape(MessageType::kPong, "pong", kNumber, Body::kNone),
    shape(MessageType::kGoodbye, "goodbye", 0, Body::kNone),
    shape(MessageType::kError, "error", kNumbered, Body::kText),
    shape(MessageType::kHashSecret, "hash-secret", 0, Body::kSecret),
};

const Shape* shape_of(std::uint8_t type) {
  const auto* found = std::find_if(std::begin(kShapes), std::end(kShapes),
                                   [&](const Shape& candidate) { return candidate.type == type; });
  return found == std::end(kShapes) ? nullptr : found;
}

bool is_length_of(Body body, std::uint32_t bytes) {
  const auto lineage_bytes = kLineageMax * sizeof(LineageBytes);
  switch (body) {
    case Body::kNone:
      return bytes == 0;
    case Body::kView:
      return bytes >= sizeof(ViewBytes) && bytes <= sizeof(ViewBytes) + lineage_bytes &&
             (bytes - sizeof(ViewBytes)) % sizeof(LineageBytes) == 0;
    case Body::kLineage:
      return bytes > 0 && bytes <= lineage_bytes && bytes % sizeof(LineageBytes) == 0;
    case Body::kSeed:
      return bytes == sizeof(IdBytes);
    case Body::kRuns:
      return bytes <= kMapRunsPerFrame * sizeof(RunBytes) && bytes % sizeof(RunBytes) == 0;
    case Body::kHash:
      return bytes == sizeof(HashBytes);
    case Body::kText:
      return bytes <= kMessageTextBytesMax;
    case Body::kSecret:
      return bytes == kHashSecretBytes;
  }
  return false;
}

Result<> check_range(const FrameHeaderBytes& header, unsigned fields) {
  const std::uint64_t offset = header.offset_bytes;
  const std::uint32_t length = header.length_bytes;
  if ((fields & kRange) == 0) {
    if (offset != 0 || length != 0) return wrong("range of length", length, "none");
    return {};
  }
  if (length == 0 || length > kFrameDataBytesMax || length % bitmap::kSectorBytes != 0)
    return wrong("range of length", length, "whole sectors of 512 bytes, at most 1 MiB");
  if (offset % bitmap::kSectorBytes != 0 || offset > bitmap::kVolumeBytesMax - length)
    return wrong("range at offset", offset, "whole sectors of 512 bytes, below 2^56");
  return {};
}

Result<> check_lengths(const FrameHeaderBytes& header, const Shape& shape) {
  if (!is_length_of(shape.body, header.body_bytes))
    return wrong("body length", header.body_bytes, "that of the frame's type");
  if (header.body_bytes == 0 && header.body_check != 0) return wrong("body checksum", header.body_check, "0: no body");
  const std::uint32_t data = header.data_bytes;
  const auto compression = header.compression;
  if ((shape.fields & kData) == 0) {
    if (data != 0) return wrong("data length", data, "0: a frame without data");
    if (compression != 0) return wrong("compression", compression, "0: a frame without data");
    if (header.data_check != 0) return wrong("data checksum", header.data_check, "0: no data");
    return {};
  }
  if (compression > static_cast<std::uint8_t>(Compression::kZstd))
    return wrong("compression", compression, "0 (none), 1 (zlib) or 2 (zstd)");
  if (compression == 0 ? data != header.length_bytes : data == 0 || data >= header.length_bytes)
    return wrong("data length", data, "the range's length, or less if compressed");
  return {};
}

Result<> check_header(const FrameHeaderBytes& header, const Shape& shape) {
  const auto fields = shape.fields;
  if ((header.flags & ~shape.flags) != 0) return wrong("flags", header.flags, "those of the frame's type only");
  if (header.reserved != 0) return wrong("reserved byte", header.reserved, "0");
  const std::uint32_t mask_max = (fields & kMask) != 0 ? (std::uint32_t{1} << kNodesMax) - 1 : 0;
  if (header.mask > mask_max) return wrong("mask", header.mask, mask_max == 0 ? "0" : "members 0 to 7");
  const std::uint64_t sequence = header.sequence;
  if ((fields & kSequence) == 0 ? sequence != 0 : sequence == kAnySequence)
    return wrong("sequence", sequence, (fields & kSequence) == 0 ? "0" : "a sequence");
  if ((fields & kSequenceNotZero) != 0 && sequence == 0) return wrong("sequence", sequence, "not 0");
  if ((fields & kDependsOn) == 0 ? header.depends_on != 0 : header.depends_on >= sequence)
    return wrong("depends_on", header.depends_on, (fields & kDependsOn) == 0 ? "0" : "less than the sequence");
  if ((fields & kNumber) == 0 && header.number != 0) return wrong("number", header.number, "0");
  if ((fields & kNumberNotZero) != 0 && header.number == 0) return wrong("number", header.number, "not 0");
  DRSEED_TRY(check_range(header, fields));
  return check_lengths(header, shape);
}

// ---- Views

constexpr std::uint32_t kViewInconsistent = 1;
constexpr std::uint32_t kViewInService = 2;
constexpr std::uint32_t kViewLastOwner = 4;
constexpr std::uint32_t kViewDataCorrupt = 8;
constexpr std::uint32_t kViewOutdated = 16;
constexpr std::uint32_t kViewDiscard = 32;
constexpr std::uint32_t kViewSlotValid = 64;
constexpr std::uint32_t kViewMapEmpty = 128;
constexpr std::uint32_t kViewSeed = 256;
constexpr std::uint32_t kViewFlags = 511;

Result<> check_view(const NodeView& view) {
  DRSEED_TRY(check_volume_bytes(view.volume_bytes));
  if (view.node >= kNodesMax) return wrong("node", view.node, "0 to 7");
  DRSEED_TRY(check_sequences(view.low, view.high));
  if (view.base == kAnySequence) return fail(ErrorCode::kDiffers, "base is not a sequence");
  DRSEED_TRY(check_node_or_none("promise to node", view.promise.node));
  return check_lineage(view.lineage);
}

void append_view(std::vector<std::uint8_t>& out, const NodeView& view) {
  assert(check_view(view));
  // Names every field, so that a new one does not compile until it has its place here.
  const auto& [mirror, volume_bytes, node, members_version, lineage, low, high, inconsistent, in_service, last_owner,
               data_corrupt, outdated, discard, promise, slot_valid, base, map_empty, seed] = view;
  ViewBytes bytes{};
  bytes.mirror = mirror.bytes;
  bytes.volume_bytes = volume_bytes;
  bytes.low = low;
  bytes.high = high;
  bytes.base = base;
  bytes.promise_counter = promise.counter;
  bytes.members_version = members_version;
  bytes.flags = (inconsistent ? kViewInconsistent : 0) | (in_service ? kViewInService : 0) |
                (last_owner ? kViewLastOwner : 0) | (data_corrupt ? kViewDataCorrupt : 0) |
                (outdated ? kViewOutdated : 0) | (discard ? kViewDiscard : 0) | (slot_valid ? kViewSlotValid : 0) |
                (map_empty ? kViewMapEmpty : 0) | (seed ? kViewSeed : 0);
  bytes.node = node;
  bytes.promise_node = promise.node;
  if (seed) bytes.seed = seed->bytes;
  append(out, bytes);
  append_lineage(out, lineage);
}

Result<NodeView> decode_view(Bytes body) {
  const auto bytes = struct_at<ViewBytes>(body, 0);
  const std::uint32_t flags = bytes.flags;
  if ((flags & ~kViewFlags) != 0) return wrong("flags", flags, "those of version 1 only");
  if (!all_zero(bytes.reserved)) return fail(ErrorCode::kDiffers, "reserved bytes are not zero");
  if ((flags & kViewSeed) == 0 && !all_zero(bytes.seed)) return fail(ErrorCode::kDiffers, "seed without its flag");
  NodeView view;
  view.mirror.bytes = bytes.mirror;
  view.volume_bytes = bytes.volume_bytes;
  view.node = bytes.node;
  view.members_version = bytes.members_version;
  view.low = bytes.low;
  view.high = bytes.high;
  view.inconsistent = (flags & kViewInconsistent) != 0;
  view.in_service = (flags & kViewInService) != 0;
  view.last_owner = (flags & kViewLastOwner) != 0;
  view.data_corrupt = (flags & kViewDataCorrupt) != 0;
  view.outdated = (flags & kViewOutdated) != 0;
  view.discard = (flags & kViewDiscard) != 0;
  view.promise = {bytes.promise_counter, bytes.promise_node};
  view.slot_valid = (flags & kViewSlotValid) != 0;
  view.base = bytes.base;
  view.map_empty = (flags & kViewMapEmpty) != 0;
  if ((flags & kViewSeed) != 0) view.seed = Id{bytes.seed};
  view.lineage = DRSEED_TRY(decode_lineage(body.subspan(sizeof bytes)));
  DRSEED_TRY(check_view(view));
  return view;
}

// ---- Maps

using Runs = std::vector<bitmap::BlockRun>;

Result<> check_runs(const Runs& runs) {
  if (runs.size() > kMapRunsPerFrame) return wrong("runs", runs.size(), "at most 4096");
  std::uint64_t end = 0;
  for (const auto& run : runs) {
    if (run.count == 0) return wrong("run of blocks", run.count, "at least one");
    if (run.first < end) return wrong("run at block", run.first, "runs that ascend and do not overlap");
    if (run.first > bitmap::kBlocksMax || run.count > bitmap::kBlocksMax - run.first)
      return wrong("run at block", run.first, "blocks below 2^36");
    end = run.end();
  }
  return {};
}

Result<Runs> decode_runs(Bytes body) {
  Runs runs;
  runs.reserve(body.size() / sizeof(RunBytes));
  for (std::size_t at = 0; at < body.size(); at += sizeof(RunBytes)) {
    const auto run = struct_at<RunBytes>(body, at);
    runs.push_back({run.first, run.count});
  }
  DRSEED_TRY(check_runs(runs));
  return runs;
}

// ---- Bodies

void append_body(std::vector<std::uint8_t>& out, Body body, const Frame& frame) {
  const bool shared = body == Body::kView || body == Body::kLineage || body == Body::kSeed || body == Body::kRuns;
  assert(shared == (frame.body != nullptr));
  switch (body) {
    case Body::kView:
      return append_view(out, frame.body->view);
    case Body::kLineage:
      assert(check_lineage(frame.body->view.lineage));
      return append_lineage(out, frame.body->view.lineage);
    case Body::kSeed:
      assert(frame.body->view.seed);
      return append(out, frame.body->view.seed->bytes);
    case Body::kRuns:
      assert(check_runs(frame.body->runs));
      for (const auto& run : frame.body->runs) append(out, RunBytes{run.first, run.count});
      return;
    case Body::kHash:
      return append(out, HashBytes{{frame.hash[0], frame.hash[1]}});
    case Body::kNone:
    case Body::kText:
    case Body::kSecret:
      return;
  }
}

Result<> decode_body_of(Body kind, Bytes body, Frame& frame) {
  auto decoded = std::make_shared<FrameBody>();
  switch (kind) {
    case Body::kView:
      decoded->view = DRSEED_TRY(decode_view(body));
      break;
    case Body::kLineage:
      decoded->view.lineage = DRSEED_TRY(decode_lineage(body));
      break;
    case Body::kSeed:
      decoded->view.seed = Id{struct_at<IdBytes>(body, 0)};
      break;
    case Body::kRuns:
      decoded->runs = DRSEED_TRY(decode_runs(body));
      break;
    case Body::kHash: {
      const auto hash = struct_at<HashBytes>(body, 0);
      frame.hash = {hash.words[0], hash.words[1]};
      return {};
    }
    case Body::kNone:
    case Body::kText:
    case Body::kSecret:
      return {};
  }
  frame.body = std::move(decoded);
  return {};
}

std::uint64_t check_of_bytes(Bytes bytes) {
  return bytes.empty() ? 0 : XXH3_64bits(bytes.data(), bytes.size());
}

Result<> prove_body(const HeaderInfo& info, Bytes body) {
  assert(body.size() == info.body_bytes);
  if (check_of_bytes(body) != info.body_check) return fail(ErrorCode::kDiffers, "body: damaged (checksum)");
  return {};
}

// What is in `out` from `at`: room for the header, then the body.
void put_header(FrameHeaderBytes& header, const Shape& shape, std::vector<std::uint8_t>& out, std::size_t at) {
  const auto body = Bytes(out).subspan(at + sizeof header);
  header.magic = kFrameMagic;
  header.type = shape.type;
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.body_check = check_of_bytes(body);
  header.check = check_of(header);
  assert(check_header(header, shape));
  std::memcpy(&out[at], &header, sizeof header);
}

}  // namespace

// ---- Hello

HelloBytes encode_hello(const Hello& hello) {
  assert(hello.session != 0 && hello.version_min <= hello.version);
  HelloBytes bytes{};
  bytes.magic = kHelloMagic;
  bytes.version = hello.version;
  bytes.version_min = hello.version_min;
  bytes.features = hello.features;
  bytes.session = hello.session;
  bytes.mirror_id = hello.mirror_id.bytes;
  bytes.node_id = hello.node_id.bytes;
  bytes.mirror_name = encode_name(hello.mirror_name);
  bytes.node_name = encode_name(hello.node_name);
  bytes.check = check_of(bytes);
  return bytes;
}

Result<Hello> decode_hello(Bytes bytes) {
  const auto decode = [&]() -> Result<Hello> {
    if (bytes.size() != sizeof(HelloBytes)) return wrong("length", bytes.size(), "256 bytes");
    const auto raw = struct_at<HelloBytes>(bytes, 0);
    if (raw.magic != kHelloMagic) return fail(ErrorCode::kDiffers, "not a drseed link");
    if (raw.check != check_of(raw)) return fail(ErrorCode::kDiffers, "damaged (checksum)");
    Hello hello;
    hello.version = raw.version;
    hello.version_min = raw.version_min;
    if (hello.version_min > hello.version) return wrong("oldest version", hello.version_min, "at most the newest");
    // A newer drseed may put something there that an older one need not know.
    if (hello.version <= kLinkVersion && !all_zero(raw.reserved))
      return fail(ErrorCode::kDiffers, "reserved bytes are not zero");
    hello.features = raw.features;
    hello.session = raw.session;
    if (hello.session == 0) return wrong("session", 0, "not 0");
    hello.mirror_id.bytes = raw.mirror_id;
    hello.node_id.bytes = raw.node_id;
    hello.mirror_name = DRSEED_TRY(decode_name("mirror name", raw.mirror_name));
    hello.node_name = DRSEED_TRY(decode_name("node name", raw.node_name));
    return hello;
  };
  return within("hello", decode());
}

Result<LinkTerms> agree(const Hello& mine, const Hello& theirs) {
  LinkTerms terms;
  terms.version = std::min(mine.version, theirs.version);
  if (terms.version < std::max(mine.version_min, theirs.version_min)) {
    return fail(ErrorCode::kDiffers, "hello: this node speaks link versions {} to {}, {} speaks {} to {}",
                mine.version_min, mine.version, theirs.node_name, theirs.version_min, theirs.version);
  }
  if (mine.mirror_id != theirs.mirror_id) {
    return fail(ErrorCode::kDiffers, "hello: mirror {} ({}) here, {} ({}) on {}", mine.mirror_name,
                to_string(mine.mirror_id), theirs.mirror_name, to_string(theirs.mirror_id), theirs.node_name);
  }
  if (mine.node_id == theirs.node_id)
    return fail(ErrorCode::kDiffers, "hello: {} and {} are the same node, {}", mine.node_name, theirs.node_name,
                to_string(mine.node_id));
  terms.features = mine.features & theirs.features;
  terms.session = std::max(mine.session, theirs.session);
  return terms;
}

// ---- Frames

void encode_frame(const Frame& frame, Bytes data, Compression compression, std::vector<std::uint8_t>& out) {
  const auto* shape = shape_of(static_cast<std::uint8_t>(frame.type));
  assert(shape != nullptr && data.size() <= kFrameDataBytesMax && frame.range.length_bytes <= kFrameDataBytesMax);
  const auto at = out.size();
  out.resize(at + sizeof(FrameHeaderBytes));
  append_body(out, shape->body, frame);
  FrameHeaderBytes header{};
  header.flags = frame.flags;
  header.compression = static_cast<std::uint8_t>(compression);
  header.mask = frame.mask;
  header.data_bytes = static_cast<std::uint32_t>(data.size());
  header.length_bytes = static_cast<std::uint32_t>(frame.range.length_bytes);
  header.sequence = frame.sequence;
  header.depends_on = frame.depends_on;
  header.number = frame.number;
  header.offset_bytes = frame.range.offset_bytes;
  header.data_check = check_of_bytes(data);
  put_header(header, *shape, out, at);
}

Result<HeaderInfo> decode_header(Bytes bytes) {
  assert(bytes.size() == sizeof(FrameHeaderBytes));
  const auto header = struct_at<FrameHeaderBytes>(bytes, 0);
  if (header.magic != kFrameMagic) return fail(ErrorCode::kDiffers, "frame: not the beginning of one");
  if (header.check != check_of(header)) return fail(ErrorCode::kDiffers, "frame: damaged header (checksum)");
  const auto* shape = shape_of(header.type);
  if (shape == nullptr) return within<HeaderInfo>("frame", wrong("type", header.type, "one of version 1"));
  if (auto checked = check_header(header, *shape); !checked)
    return fail(ErrorCode::kDiffers, "{} frame: {}", shape->name, checked.error().context);
  HeaderInfo info;
  info.type = header.type;
  info.compression = static_cast<Compression>(header.compression);
  info.body_bytes = header.body_bytes;
  info.data_bytes = header.data_bytes;
  info.body_check = header.body_check;
  info.data_check = header.data_check;
  info.frame.flags = header.flags;
  info.frame.mask = header.mask;
  info.frame.sequence = header.sequence;
  info.frame.depends_on = header.depends_on;
  info.frame.number = header.number;
  info.frame.range = {header.offset_bytes, header.length_bytes};
  return info;
}

Result<Frame> decode_body(const HeaderInfo& info, Bytes body) {
  const auto* shape = shape_of(info.type);
  assert(shape != nullptr && !info.is_message());
  auto frame = info.frame;
  frame.type = static_cast<FrameType>(info.type);
  auto decoded = prove_body(info, body);
  if (decoded) decoded = decode_body_of(shape->body, body, frame);
  if (!decoded) return fail(ErrorCode::kDiffers, "{} frame: {}", shape->name, decoded.error().context);
  return frame;
}

Result<> check_data(const HeaderInfo& info, Bytes data) {
  assert(data.size() == info.data_bytes);
  if (check_of_bytes(data) == info.data_check) return {};
  return fail(ErrorCode::kDiffers, "{} frame: damaged data (checksum)", shape_of(info.type)->name);
}

// ---- Messages

namespace {

bool is_printable(char c) {
  return c >= 0x20 && c <= 0x7e;
}

}  // namespace

std::vector<std::uint8_t> encode_message(const LinkMessage& message) {
  const auto* shape = shape_of(static_cast<std::uint8_t>(message.type));
  assert(shape != nullptr);
  auto body = message.body;
  if (shape->body == Body::kText) {
    body.resize(std::min<std::size_t>(body.size(), kMessageTextBytesMax));
    std::replace_if(
        body.begin(), body.end(), [](char c) { return !is_printable(c); }, '?');
  }
  std::vector<std::uint8_t> out(sizeof(FrameHeaderBytes) + body.size());
  std::copy(body.begin(), body.end(), out.begin() + sizeof(FrameHeaderBytes));
  FrameHeaderBytes header{};
  header.number = message.number;
  put_header(header, *shape, out, 0);
  return out;
}

Result<LinkMessage> decode_message(const HeaderInfo& info, Bytes body) {
  assert(info.is_message());
  const auto* shape = shape_of(info.type);
  DRSEED_TRY(within(fmt::format("{} frame", shape->name), prove_body(info, body)));
  LinkMessage message;
  message.type = static_cast<MessageType>(info.type);
  message.number = info.frame.number;
  message.body.assign(body.begin(), body.end());
  if (message.type != MessageType::kError) return message;
  if (message.number > static_cast<std::uint8_t>(LinkError::kInternal))
    return within<LinkMessage>("error frame", wrong("code", message.number, "1 to 6"));
  if (!std::all_of(message.body.begin(), message.body.end(), is_printable))
    return fail(ErrorCode::kDiffers, "error frame: text is not printable ASCII");
  return message;
}

}  // namespace drseed::replicator
