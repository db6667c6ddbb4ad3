#pragma once
// Digests: MD5 and SHA-256 through OpenSSL, XXH3-128 through xxHash.
//
// SHA-256 is the proof of a segment. XXH3-128 guards stored bytes against accidents, not against an adversary.
// Not thread-safe: one object a thread. A Hasher is reusable after finish().

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace drseed {

using Bytes = std::span<const std::uint8_t>;
using Sha256Digest = std::array<std::uint8_t, 32>;
using Xxh128Digest = std::array<std::uint8_t, 16>;  // canonical (big-endian) form, as xxhsum prints it

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Sha256Digest sha256(Bytes bytes);
Xxh128Digest xxh128(Bytes bytes);

enum class DigestKind { kMd5, kSha256, kXxh128 };

std::string_view name_of(DigestKind kind);  // "md5", "sha256", "xxh128"
std::size_t size_of(DigestKind kind);       // bytes of the digest
std::optional<DigestKind> digest_kind_of_hex_length(
    std::size_t digits);  // 32: MD5 (xxh128 looks the same), 64: SHA-256

// A digest over a stream of bytes.
class Hasher {
 public:
  explicit Hasher(DigestKind kind);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  DigestKind kind() const { return kind_; }
  void update(Bytes bytes);
  // Returns the digest and starts anew.
  std::vector<std::uint8_t> finish();

 private:
  struct State;
  DigestKind kind_;
  std::unique_ptr<State> state_;
};

// SHA-256 of many messages in turn without an allocation each.
class Sha256 {
 public:
  Sha256();
  void update(Bytes bytes) { hasher_.update(bytes); }
  Sha256Digest finish();

 private:
  Hasher hasher_;
};

}  // namespace drseed
