#include "seed/checksum_file.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/hex.h"

namespace drseed::seed {
namespace {

struct Tag {
  std::string_view name;
  DigestKind kind;
};

constexpr std::array<Tag, 4> kTags{{
    {"MD5", DigestKind::kMd5},
    {"SHA256", DigestKind::kSha256},
    {"SHA2-256", DigestKind::kSha256},  // openssl dgst
    {"XXH128", DigestKind::kXxh128},
}};

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// As coreutils escapes: a backslash, newline and carriage return are \\, \n and \r.
std::string escape(std::string_view name) {
  std::string text;
  for (char c : name) {
    switch (c) {
      case '\\':
        text += "\\\\";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      default:
        text += c;
    }
  }
  return text;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string name;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      name += text[i];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    if (text[i] == '\\') {
      name += '\\';
    } else if (text[i] == 'n') {
      name += '\n';
    } else if (text[i] == 'r') {
      name += '\r';
    } else {
      return std::nullopt;
    }
  }
  return name;
}

std::optional<ChecksumLine> make_line(DigestKind kind, std::string_view hex, std::string_view name) {
  ChecksumLine line{kind, std::vector<std::uint8_t>(size_of(kind)), std::string(name)};
  if (!from_hex(hex, line.digest)) return std::nullopt;
  return line;
}

// "HEX  NAME", "HEX *NAME" and, as BSD's md5 -r writes it, "HEX NAME".
std::optional<ChecksumLine> parse_plain(std::string_view text) {
  const auto digits = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_hex_digit) - text.begin());
  const auto kind = digest_kind_of_hex_length(digits);
  if (!kind || digits == text.size() || text[digits] != ' ') return std::nullopt;
  auto name = text.substr(digits + 1);
  if (name.starts_with(' ') || name.starts_with('*')) name.remove_prefix(1);
  return make_line(*kind, text.substr(0, digits), name);
}

// "SHA256 (NAME) = HEX", and openssl's "SHA256(NAME)= HEX".
std::optional<ChecksumLine> parse_tagged(std::string_view text) {
  for (const auto& tag : kTags) {
    if (!text.starts_with(tag.name)) continue;
    auto rest = text.substr(tag.name.size());
    const bool spaced = rest.starts_with(" (");
    if (!spaced && !rest.starts_with('(')) continue;
    rest.remove_prefix(spaced ? 2 : 1);
    const std::string_view between = spaced ? ") = " : ")= ";
    const auto end = rest.rfind(between);
    if (end == std::string_view::npos) return std::nullopt;
    return make_line(tag.kind, rest.substr(end + between.size()), rest.substr(0, end));
  }
  return std::nullopt;
}

std::optional<ChecksumLine> parse_line(std::string_view text) {
  const bool escaped = text.starts_with('\\');
  if (escaped) text.remove_prefix(1);
  auto line = parse_plain(text);
  if (!line) line = parse_tagged(text);
  if (!line) return std::nullopt;
  if (escaped) {
    auto name = unescape(line->name);
    if (!name) return std::nullopt;
    line->name = std::move(*name);
  }
  if (line->name.empty() || line->name.find('\0') != std::string::npos) return std::nullopt;
  return line;
}

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// What the lines of which `chosen` is true agree upon; nothing where there is none.
template <typename Chosen>
Result<std::optional<ChecksumLine>> only_one(const std::vector<ChecksumLine>& lines, std::string_view name,
                                             Chosen chosen) {
  std::optional<ChecksumLine> found;
  for (const auto& line : lines) {
    if (!chosen(line)) continue;
    if (found && *found != line) {
      return fail(ErrorCode::kUsage, "the file of digests has several lines for '{}'", escape(name));
    }
    found = line;
  }
  return found;
}

}  // namespace

Result<std::vector<ChecksumLine>> parse_checksum_file(std::string_view text) {
  std::vector<ChecksumLine> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line_text = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line_text.ends_with('\r')) line_text.remove_suffix(1);
    if (line_text.empty() || line_text.starts_with('#')) continue;
    auto line = parse_line(line_text);
    if (!line) {
      return fail(
          ErrorCode::kUsage,
          "line {} of the file of digests is not understood; expected an MD5, SHA-256 or XXH128 line as md5sum, "
          "sha256sum, xxhsum --tag or 'drseed checksum' write it",
          number);
    }
    lines.push_back(std::move(*line));
  }
  return lines;
}

Result<ChecksumLine> find_checksum(const std::vector<ChecksumLine>& lines, std::string_view name) {
  auto found = DRSEED_TRY(only_one(lines, name, [&](const ChecksumLine& line) { return line.name == name; }));
  if (!found) {
    const auto same_base = [&](const ChecksumLine& line) { return base_name(line.name) == base_name(name); };
    found = DRSEED_TRY(only_one(lines, name, same_base));
  }
  if (found) return *found;
  if (lines.size() == 1) return lines.front();
  return fail(ErrorCode::kUsage, "the file of digests has no line for '{}'", escape(name));
}

std::string format_checksum_line(const ChecksumLine& line) {
  const auto name = escape(line.name);
  const std::string_view mark = name == line.name ? "" : "\\";
  const auto hex = to_hex(line.digest);
  // xxh128 has as many digits as MD5, so its line names it.
  if (line.kind == DigestKind::kXxh128) return fmt::format("{}XXH128 ({}) = {}\n", mark, name, hex);
  return fmt::format("{}{}  {}\n", mark, hex, name);
}

}  // namespace drseed::seed
