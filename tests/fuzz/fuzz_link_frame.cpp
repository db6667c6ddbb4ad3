// A link's bytes are refused, or within the limits and exactly what encoding writes.
//
// Input: a byte of mode, a hello if bit 1 is set, then frames. With bit 0, checksums are put right first, so that what
// lies behind them is reached.

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "replicator/core/link_format.h"

namespace {

using namespace drseed;
using namespace drseed::replicator;

template <typename Struct>
void put_check_right(std::vector<std::uint8_t>& bytes) {
  auto item = struct_at<Struct>(bytes, 0);
  item.check = check_of(item);
  std::memcpy(bytes.data(), &item, sizeof item);
}

std::vector<std::uint8_t> take(Bytes& input, std::size_t size) {
  const auto part = input.first(std::min(size, input.size()));
  input = input.subspan(part.size());
  return {part.begin(), part.end()};
}

std::uint64_t check_of_bytes(Bytes bytes) {
  return bytes.empty() ? 0 : XXH3_64bits(bytes.data(), bytes.size());
}

void check_hello(std::vector<std::uint8_t> bytes, bool right) {
  if (right && bytes.size() == sizeof(HelloBytes)) put_check_right<HelloBytes>(bytes);
  const auto hello = decode_hello(bytes);
  if (!hello) return;
  if (hello->version <= kLinkVersion) {
    const auto again = encode_hello(*hello);
    assert(std::memcmp(&again, bytes.data(), sizeof again) == 0);
  }
  auto mine = *hello;
  mine.node_id.bytes[0] ^= 1;
  const auto terms = agree(mine, *hello);
  assert(terms && terms->version == hello->version && terms->features == hello->features);
}

// As a transport reads it: the header, then what that says.
bool check_frame(Bytes& input, bool right) {
  auto bytes = take(input, sizeof(FrameHeaderBytes));
  if (bytes.size() < sizeof(FrameHeaderBytes)) return false;
  auto header = struct_at<FrameHeaderBytes>(bytes, 0);
  if (right) {
    header.body_check = check_of_bytes(input.first(std::min<std::size_t>(header.body_bytes, input.size())));
    const auto rest = input.subspan(std::min<std::size_t>(header.body_bytes, input.size()));
    header.data_check = check_of_bytes(rest.first(std::min<std::size_t>(header.data_bytes, rest.size())));
    std::memcpy(bytes.data(), &header, sizeof header);
    put_check_right<FrameHeaderBytes>(bytes);
  }
  const auto info = decode_header(bytes);
  if (!info) return false;
  assert(info->body_bytes <= kFrameBodyBytesMax && info->data_bytes <= kFrameDataBytesMax);
  const auto body = take(input, info->body_bytes);
  const auto data = take(input, info->data_bytes);
  if (body.size() < info->body_bytes || data.size() < info->data_bytes || !check_data(*info, data)) return false;
  bytes.insert(bytes.end(), body.begin(), body.end());
  std::vector<std::uint8_t> again;
  if (info->is_message()) {
    const auto message = decode_message(*info, body);
    if (!message) return false;
    again = encode_message(*message);
  } else {
    const auto frame = decode_body(*info, body);
    if (!frame) return false;
    encode_frame(*frame, data, info->compression, again);
  }
  assert(again == bytes);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool right = (data[0] & 1) != 0;
  Bytes input(data + 1, size - 1);
  if ((data[0] & 2) != 0) check_hello(take(input, sizeof(HelloBytes)), right);
  while (check_frame(input, right)) {
  }
  return 0;
}
