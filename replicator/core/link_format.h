#pragma once
// The link protocol's bytes (replicator/FORMAT.md). Pure: encodes and decodes; sends nothing, compresses nothing.
//
// A connection is one session of one mirror between two members: a hello each way, then frames. A frame is a header,
// a body (what the core knows beside the header) and data (a payload's bytes, as the transport compressed them or not).
// The header proves itself first and says how long the others are, within the limits below, so that a reader never
// allocates for what a stranger claims. Every decode refuses with kDiffers, naming the field.

#include "bitmap/bitmap_format.h"
#include "replicator/core/format_parts.h"
#include "replicator/core/frame.h"

namespace drseed::replicator {

constexpr std::uint32_t kLinkVersion = 1;     // the newest that this drseed speaks
constexpr std::uint32_t kLinkVersionMin = 1;  // the oldest

// ---- Hello

constexpr std::uint64_t kFeatureZlib = 1;  // the sender reads data compressed so
constexpr std::uint64_t kFeatureZstd = 2;

struct HelloBytes {  // the same in every version
  std::array<char, 8> magic;
  ul32 version;
  ul32 version_min;
  ul64 features;
  ul64 session;
  IdBytes mirror_id;
  IdBytes node_id;
  NameBytes mirror_name;
  NameBytes node_name;
  std::array<std::uint8_t, 88> reserved;
  ul64 check;  // XXH3-64 of the bytes before
};
static_assert(sizeof(HelloBytes) == 256 && alignof(HelloBytes) == 1);
static_assert(offsetof(HelloBytes, mirror_id) == 32 && offsetof(HelloBytes, reserved) == 160);

struct Hello {
  std::uint32_t version = kLinkVersion;
  std::uint32_t version_min = kLinkVersionMin;
  std::uint64_t features = 0;
  std::uint64_t session = 0;  // larger than any that the sender had with this peer; not 0
  Id mirror_id;
  Id node_id;
  std::string mirror_name;
  std::string node_name;
  bool operator==(const Hello&) const = default;
};

HelloBytes encode_hello(const Hello& hello);
Result<Hello> decode_hello(Bytes bytes);

// What both hellos come to; both sides compute the same.
struct LinkTerms {
  std::uint32_t version = 0;   // the newest that both speak
  std::uint64_t features = 0;  // those of both
  std::uint64_t session = 0;   // the larger proposal
  bool operator==(const LinkTerms&) const = default;
};
// Refused, with both values: no common version, different mirrors, the same node.
Result<LinkTerms> agree(const Hello& mine, const Hello& theirs);

// ---- Frames

enum class Compression : std::uint8_t { kNone = 0, kZlib = 1, kZstd = 2 };  // of the data

struct FrameHeaderBytes {
  ul32 magic;
  std::uint8_t type;  // a FrameType or a MessageType
  std::uint8_t flags;
  std::uint8_t compression;
  std::uint8_t reserved;
  ul32 mask;
  ul32 body_bytes;
  ul32 data_bytes;    // as they follow
  ul32 length_bytes;  // of the range; with data: once decompressed
  ul64 sequence;
  ul64 depends_on;
  ul64 number;
  ul64 offset_bytes;  // of the range
  ul64 body_check;    // XXH3-64; 0 without a body
  ul64 data_check;    // of the data as they follow
  ul64 check;         // XXH3-64 of the bytes before
};
static_assert(sizeof(FrameHeaderBytes) == 80 && alignof(FrameHeaderBytes) == 1);
static_assert(offsetof(FrameHeaderBytes, sequence) == 24 && offsetof(FrameHeaderBytes, body_check) == 56);

struct ViewBytes {  // then the lineage
  IdBytes mirror;
  ul64 volume_bytes;
  ul64 low;
  ul64 high;
  ul64 base;
  ul64 promise_counter;
  ul32 members_version;
  ul32 flags;
  std::uint8_t node;
  std::uint8_t promise_node;
  std::array<std::uint8_t, 6> reserved;
  IdBytes seed;
};
static_assert(sizeof(ViewBytes) == 88 && alignof(ViewBytes) == 1 && offsetof(ViewBytes, node) == 64);

struct RunBytes {
  ul64 first;
  ul64 count;
};
static_assert(sizeof(RunBytes) == 16 && alignof(RunBytes) == 1);

struct HashBytes {
  std::array<ul64, 2> words;
};
static_assert(sizeof(HashBytes) == 16 && alignof(HashBytes) == 1);

constexpr std::uint32_t kFrameDataBytesMax = kPieceBytesMax > kResyncBytesMax
                                                 ? static_cast<std::uint32_t>(kPieceBytesMax)
                                                 : kResyncBytesMax;
constexpr std::uint32_t kMessageTextBytesMax = 1024;
constexpr std::uint32_t kHashSecretBytes = 192;  // XXH3_SECRET_DEFAULT_SIZE, as R14 asks
constexpr std::uint32_t kFrameBodyBytesMax = kMapRunsPerFrame * sizeof(RunBytes);
static_assert(kFrameBodyBytesMax >= sizeof(ViewBytes) + kLineageMax * sizeof(LineageBytes) &&
              kFrameBodyBytesMax >= kMessageTextBytesMax);

// A frame's header, proven and within the limits. body_bytes, then data_bytes follow it.
struct HeaderInfo {
  std::uint8_t type = 0;
  Compression compression = Compression::kNone;
  std::uint32_t body_bytes = 0;
  std::uint32_t data_bytes = 0;
  std::uint64_t body_check = 0;
  std::uint64_t data_check = 0;
  Frame frame;  // without type, body, hash and payload

  bool is_message() const { return type >= 128; }  // for the transport, not for the core
};

// Appends header and body to `out`; the data are to follow them. `data` is the payload as it is to travel; it is empty
// for frames without payload, and of the range's length if it is not compressed, shorter if it is. The frame's payload
// is not looked at. Precondition: what FORMAT.md says of the type; asserted.
void encode_frame(const Frame& frame, Bytes data, Compression compression, std::vector<std::uint8_t>& out);

// Precondition: header.size() == sizeof(FrameHeaderBytes).
Result<HeaderInfo> decode_header(Bytes header);
// Precondition: !info.is_message(), body.size() == info.body_bytes. The frame's payload is the caller's to set.
Result<Frame> decode_body(const HeaderInfo& info, Bytes body);
// Precondition: data.size() == info.data_bytes.
Result<> check_data(const HeaderInfo& info, Bytes data);

// ---- Frames that the core does not know

enum class MessageType : std::uint8_t {
  kPing = 128,  // number: the sender's
  kPong,        // number: the ping's
  kGoodbye,     // nothing follows
  kError,       // number: a LinkError; text; nothing follows
  kHashSecret,  // of the check frames that follow in this direction
};
enum class LinkError : std::uint8_t {
  kProtocol = 1,  // what was received is not this protocol
  kVersion,       // no common version
  kMirror,        // no such mirror here
  kNode,          // not a member
  kBusy,          // linked already, or too many connections
  kInternal,      // a fault of the sender
};

struct LinkMessage {
  MessageType type = MessageType::kPing;
  std::uint64_t number = 0;
  std::string body;  // kError: text; kHashSecret: kHashSecretBytes of any value
  bool operator==(const LinkMessage&) const = default;
};

// An error's text beyond kMessageTextBytesMax is cut; what is not printable ASCII in it becomes '?'.
std::vector<std::uint8_t> encode_message(const LinkMessage& message);
// Precondition: info.is_message(), body.size() == info.body_bytes.
Result<LinkMessage> decode_message(const HeaderInfo& info, Bytes body);

}  // namespace drseed::replicator
