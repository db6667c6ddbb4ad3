#pragma once
// Files of digests as md5sum, sha256sum, xxhsum and `drseed checksum` write them: "HEX  NAME", "HEX *NAME", the BSD
// form "SHA256 (NAME) = HEX", names escaped with a leading backslash. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace drseed::seed {

struct ChecksumLine {
  DigestKind kind;
  std::vector<std::uint8_t> digest;
  std::string name;
  bool operator==(const ChecksumLine&) const = default;
};

// Empty lines and lines that begin with '#' are skipped; any other line that is not understood is an error that names
// its number.
Result<std::vector<ChecksumLine>> parse_checksum_file(std::string_view text);

// The line for a name: an exact match, else the only one whose base name matches, else, in a file of one line, that
// line. kUsage when there is none or several.
Result<ChecksumLine> find_checksum(const std::vector<ChecksumLine>& lines, std::string_view name);

// "HEX  NAME\n" as coreutils writes it.
std::string format_checksum_line(const ChecksumLine& line);

}  // namespace drseed::seed
