#include "seed/json_seal.h"

#include <cassert>
#include <optional>

#include "base/digest.h"
#include "base/hex.h"

namespace drseed::seed {
namespace {

constexpr std::string_view kCheckKey = "\"check\": \"";
constexpr std::size_t kCheckDigits = 64;

// Where the 64 digits of the check stand in the text.
std::optional<std::size_t> find_check(std::string_view text) {
  const auto key_at = text.find(kCheckKey);
  if (key_at == std::string_view::npos || key_at + kCheckKey.size() + kCheckDigits > text.size()) return std::nullopt;
  return key_at + kCheckKey.size();
}

// The digest of a text with its own check's digits taken as zeros.
std::string digest_without_check(std::string text, std::size_t check_at) {
  text.replace(check_at, kCheckDigits, kCheckDigits, '0');
  return to_hex(sha256(as_bytes(text)));
}

}  // namespace

const std::string kUnsealed(kCheckDigits, '0');

std::string seal(std::string text) {
  const auto check_at = find_check(text);
  assert(check_at);
  const auto digest = digest_without_check(text, *check_at);
  return text.replace(*check_at, kCheckDigits, digest);
}

Result<> check_seal(std::string_view text, std::string_view name) {
  const auto check_at = find_check(text);
  if (!check_at) return fail(ErrorCode::kDiffers, "{}: has no digest of itself", name);
  if (digest_without_check(std::string(text), *check_at) != text.substr(*check_at, kCheckDigits)) {
    return fail(ErrorCode::kDiffers, "{}: damaged, it does not match its own digest", name);
  }
  return {};
}

}  // namespace drseed::seed
