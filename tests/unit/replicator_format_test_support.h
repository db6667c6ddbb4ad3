#pragma once
// One frame of every type, as it travels and as it is read.

#include <optional>

#include "replicator/core/link_format.h"
#include "tests/unit/replicator_test_support.h"

namespace drseed::replicator {

// A frame as it travels. `data` need not be what a compressor wrote: the format does not look into it.
struct Sent {
  Frame frame;
  std::vector<std::uint8_t> data;
  Compression compression = Compression::kNone;

  std::vector<std::uint8_t> bytes() const {
    std::vector<std::uint8_t> out;
    encode_frame(frame, data, compression, out);
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }
};

struct Received {
  HeaderInfo info;
  std::optional<Frame> frame;
  std::optional<LinkMessage> message;
};

// What a transport does with bytes that hold one frame and nothing else.
inline Result<Received> receive(Bytes bytes) {
  if (bytes.size() < sizeof(FrameHeaderBytes)) return fail(ErrorCode::kDiffers, "truncated");
  Received received{DRSEED_TRY(decode_header(bytes.first(sizeof(FrameHeaderBytes)))), {}, {}};
  const auto& info = received.info;
  const auto rest = bytes.subspan(sizeof(FrameHeaderBytes));
  if (rest.size() != std::size_t{info.body_bytes} + info.data_bytes) return fail(ErrorCode::kDiffers, "truncated");
  const auto body = rest.first(info.body_bytes);
  if (info.is_message()) {
    received.message = DRSEED_TRY(decode_message(info, body));
  } else {
    received.frame = DRSEED_TRY(decode_body(info, body));
  }
  DRSEED_TRY(check_data(info, rest.subspan(body.size())));
  return received;
}

inline bool same_body(const std::shared_ptr<const FrameBody>& a, const std::shared_ptr<const FrameBody>& b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->view == b->view && a->runs == b->runs;
}

inline bool same(const Frame& a, const Frame& b) {
  return a.type == b.type && a.flags == b.flags && a.mask == b.mask && a.sequence == b.sequence &&
         a.depends_on == b.depends_on && a.number == b.number && a.range == b.range && a.hash == b.hash &&
         same_body(a.body, b.body);
}

constexpr auto kLastFrameType = FrameType::kPromiseRelease;

// Of `bytes` of data, with the fields that frame.h names for the type, all of them set.
inline Sent sample_of(FrameType type, Random& random, std::uint32_t bytes = 512) {
  Sent sent;
  auto& frame = sent.frame;
  frame.type = type;
  const auto random_flags = [&](unsigned of) { frame.flags = static_cast<std::uint8_t>(random() & of); };
  const auto order = [&] {
    frame.sequence = 1 + (random() >> 1);
    frame.depends_on = below(random, frame.sequence);
    random_flags(kFlagFua | kFlagWantWritten);
  };
  const auto range = [&] { frame.range = {512 * below(random, std::uint64_t{1} << 40), bytes}; };
  const auto data = [&] {
    sent.data.resize(bytes);
    for (auto& byte : sent.data) byte = static_cast<std::uint8_t>(random());
  };
  const auto number = [&] { frame.number = 1 + (random() >> 1); };
  const auto body = [&](NodeView view, std::vector<bitmap::BlockRun> runs = {}) {
    frame.body = std::make_shared<const FrameBody>(FrameBody{std::move(view), std::move(runs)});
  };
  NodeView part;
  switch (type) {
    case FrameType::kView:
      body(random_view(random));
      break;
    case FrameType::kPromiseAsk:
      number();
      frame.sequence = random() >> 1;
      random_flags(kFlagReturn);
      break;
    case FrameType::kPromiseAnswer:
    case FrameType::kBegin:
    case FrameType::kBeginReady:
      number();
      random_flags(type == FrameType::kBegin ? kFlagConsent : kFlagYes);
      body(random_view(random));
      break;
    case FrameType::kWrite:
      data();
      [[fallthrough]];
    case FrameType::kZero:
      order();
      range();
      break;
    case FrameType::kFlush:
      order();
      break;
    case FrameType::kResync:
      data();
      [[fallthrough]];
    case FrameType::kResyncZero:
      number();
      range();
      break;
    case FrameType::kCheck:
      number();
      range();
      frame.hash = {random(), random()};
      break;
    case FrameType::kGeneration:
      part.lineage = random_lineage(random, 1 + below(random, kLineageMax));
      body(part);
      break;
    case FrameType::kMark:
      frame.sequence = random() >> 1;
      frame.mask = static_cast<NodeMask>(below(random, 1 << kNodesMax));
      break;
    case FrameType::kSeedOpen:
      part.seed = random_id_of(random);
      frame.sequence = below(random, kAnySequence);
      body(part);
      break;
    case FrameType::kPromiseRelease:
      number();
      break;
    case FrameType::kCheckResult:
      number();
      random_flags(kFlagYes);
      break;
    case FrameType::kMap: {
      std::vector<bitmap::BlockRun> runs;
      for (auto at = below(random, 50); runs.size() < 5; at = runs.back().end() + below(random, 50))
        runs.push_back({at, 1 + below(random, 50)});
      body({}, runs);
      break;
    }
    case FrameType::kDurable:
      number();
      [[fallthrough]];
    case FrameType::kResyncEnd:
    case FrameType::kWritten:
    case FrameType::kInSync:
      frame.sequence = 1 + (random() >> 1);
      break;
    case FrameType::kPull:
    case FrameType::kOutdate:
    case FrameType::kMapEnd:
    case FrameType::kOutdated:
      break;
  }
  return sent;
}

template <typename Function>
void for_each_type(Function function) {
  for (auto type = 1; type <= static_cast<int>(kLastFrameType); ++type) function(static_cast<FrameType>(type));
}

inline Hello sample_hello() {
  Hello hello;
  hello.features = kFeatureZlib | kFeatureZstd;
  hello.session = 0x0102030405060708;
  hello.mirror_id = id_of(0x11);
  hello.node_id = id_of(0x22);
  hello.mirror_name = "r0";
  hello.node_name = "dr1";
  return hello;
}

}  // namespace drseed::replicator
