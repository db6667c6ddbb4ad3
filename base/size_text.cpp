#include "base/size_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace drseed {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};

constexpr std::uint64_t kKi = 1024;
constexpr std::uint64_t kK = 1000;
constexpr std::array<Unit, 15> kUnits{{
    {"", 1},
    {"b", 1},
    {"k", kKi},
    {"kib", kKi},
    {"m", kKi* kKi},
    {"mib", kKi* kKi},
    {"g", kKi* kKi* kKi},
    {"gib", kKi* kKi* kKi},
    {"t", kKi* kKi* kKi* kKi},
    {"tib", kKi* kKi* kKi* kKi},
    {"kb", kK},
    {"mb", kK* kK},
    {"gb", kK* kK* kK},
    {"tb", kK* kK* kK* kK},
    {"bytes", 1},
}};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

const Unit* find_unit(std::string_view text) {
  std::string name;
  for (char c : text) name += lower(c);
  for (const auto& unit : kUnits) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

tl::unexpected<Error> bad_size(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kUsage, "'{}' is not a size: {} (examples: 4096, 64KiB, 400MiB, 1.5TiB)", text, why);
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto digits_end = text.find_first_not_of("0123456789.");
  const auto number = text.substr(0, digits_end);
  auto suffix = digits_end == std::string_view::npos ? std::string_view{} : text.substr(digits_end);
  if (!suffix.empty() && suffix.front() == ' ') suffix.remove_prefix(1);
  const Unit* unit = find_unit(suffix);
  if (unit == nullptr) return bad_size(text, "unknown unit");

  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::uint64_t whole = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), whole);
  if (error != std::errc{}) return bad_size(text, "no number, or too large a one");
  if (end == number.data() + number.size()) {
    if (whole > kMax / unit->bytes) return bad_size(text, "too large");
    return whole * unit->bytes;
  }
  long double value = 0;
  const auto [fraction_end, fraction_error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (fraction_error != std::errc{} || fraction_end != number.data() + number.size())
    return bad_size(text, "no number");
  value *= static_cast<long double>(unit->bytes);
  if (value >= static_cast<long double>(kMax)) return bad_size(text, "too large");
  if (value != std::floor(value)) return bad_size(text, "a fraction of a byte");
  return static_cast<std::uint64_t>(value);
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 7> kNames{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : (value < 100 ? 1 : 0), kNames[unit]);
}

std::string format_rate(double bytes_per_second) {
  return format_size(static_cast<std::uint64_t>(std::max(0.0, bytes_per_second))) + "/s";
}

std::string format_duration(double seconds) {
  const auto total = static_cast<std::uint64_t>(std::max(0.0, seconds) + 0.5);
  const auto hours = total / 3600;
  const auto minutes = total / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

}  // namespace drseed
