#include "base/digest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <cassert>

namespace drseed {

struct Hasher::State {
  EVP_MD_CTX* evp = nullptr;
  XXH3_state_t* xxh = nullptr;
  ~State() {
    EVP_MD_CTX_free(evp);
    XXH3_freeState(xxh);
  }
};

namespace {

const EVP_MD* evp_of(DigestKind kind) {
  return kind == DigestKind::kMd5 ? EVP_md5() : EVP_sha256();
}

// OpenSSL fails here only out of memory or when built without the algorithm: neither can be handled by a caller.
void check(int openssl_result) {
  assert(openssl_result == 1);
}

}  // namespace

std::string_view name_of(DigestKind kind) {
  switch (kind) {
    case DigestKind::kMd5:
      return "md5";
    case DigestKind::kSha256:
      return "sha256";
    case DigestKind::kXxh128:
      return "xxh128";
  }
  return "";
}

std::size_t size_of(DigestKind kind) {
  return kind == DigestKind::kSha256 ? 32 : 16;
}

std::optional<DigestKind> digest_kind_of_hex_length(std::size_t digits) {
  if (digits == 32) return DigestKind::kMd5;
  if (digits == 64) return DigestKind::kSha256;
  return std::nullopt;
}

Hasher::Hasher(DigestKind kind) : kind_(kind), state_(std::make_unique<State>()) {
  if (kind == DigestKind::kXxh128) {
    state_->xxh = XXH3_createState();
    XXH3_128bits_reset(state_->xxh);
  } else {
    state_->evp = EVP_MD_CTX_new();
    check(EVP_DigestInit_ex(state_->evp, evp_of(kind), nullptr));
  }
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(Bytes bytes) {
  if (kind_ == DigestKind::kXxh128) {
    XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
  } else {
    check(EVP_DigestUpdate(state_->evp, bytes.data(), bytes.size()));
  }
}

std::vector<std::uint8_t> Hasher::finish() {
  std::vector<std::uint8_t> digest(size_of(kind_));
  if (kind_ == DigestKind::kXxh128) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_->xxh));
    std::copy_n(canonical.digest, digest.size(), digest.begin());
    XXH3_128bits_reset(state_->xxh);
  } else {
    check(EVP_DigestFinal_ex(state_->evp, digest.data(), nullptr));
    check(EVP_DigestInit_ex(state_->evp, nullptr, nullptr));
  }
  return digest;
}

Sha256::Sha256() : hasher_(DigestKind::kSha256) {}

Sha256Digest Sha256::finish() {
  const auto bytes = hasher_.finish();
  Sha256Digest digest;
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

Sha256Digest sha256(Bytes bytes) {
  Sha256 hasher;
  hasher.update(bytes);
  return hasher.finish();
}

Xxh128Digest xxh128(Bytes bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  Xxh128Digest digest;
  std::copy_n(canonical.digest, digest.size(), digest.begin());
  return digest;
}

}  // namespace drseed
