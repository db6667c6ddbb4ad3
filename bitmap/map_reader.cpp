#include "bitmap/map_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "bitmap/map_json.h"

namespace drseed::bitmap {
namespace {

constexpr std::string_view kBlanks = " \t\r";

// A number and the blanks behind it; nothing where the line begins with something else.
std::optional<std::uint64_t> take_number(std::string_view& line) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc{}) return std::nullopt;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  const auto rest = std::min(line.find_first_not_of(kBlanks), line.size());
  if (rest == 0 && !line.empty()) return std::nullopt;
  line.remove_prefix(rest);
  return value;
}

Result<> read_text(std::string_view text, const FileInfo& info, DirtyBitmap& bits) {
  for (std::uint64_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (line.empty() || line.front() == '#') continue;
    const auto offset = take_number(line);
    const auto length = offset ? take_number(line) : std::nullopt;
    if (!length || !line.empty()) {
      return fail(ErrorCode::kDiffers,
                  "line {}: expected OFFSET LENGTH in bytes (of nbdinfo and qemu-img the JSON is read)", number);
    }
    const ByteRange range{*offset, *length};
    if (const auto fits = check_range(range, info); !fits)
      return fail(ErrorCode::kDiffers, "line {}: {}", number, fits.error().message());
    bits.set(blocks_covering(range.offset_bytes, range.length_bytes, info.block_bytes));
  }
  return {};
}

}  // namespace

Result<> read_map(std::string_view text, MapKind kind, const FileInfo& info, DirtyBitmap& bits) {
  const auto begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  if (kind == MapKind::kAuto && begin == text.size()) {
    return fail(ErrorCode::kUsage,
                "is empty; if that is a list without dirty ranges and no failed command, give --format text");
  }
  const bool json = begin < text.size() && (text[begin] == '[' || text[begin] == '{');
  if (kind == MapKind::kText || (kind == MapKind::kAuto && !json)) return read_text(text, info, bits);
  return read_map_json(text, kind, info, bits);
}

}  // namespace drseed::bitmap
