#pragma once
// Sizes, rates and durations as people write and read them.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drseed {

// Bytes from "4096", "64KiB", "400 MiB", "1.5G". KiB, MiB, GiB, TiB and K, M, G, T are powers of 1024; KB, MB, GB, TB
// are powers of 1000. Fails with kUsage on anything else, on a fraction of a byte, and on more than 2^63 - 1.
Result<std::uint64_t> parse_size(std::string_view text);

// "4.0 GiB (4294967296 bytes)" is made of these two habits: short for people, exact beside it where it matters.
std::string format_size(std::uint64_t bytes);

// "182 MiB/s".
std::string format_rate(double bytes_per_second);

// "3:07" or "2:03:07".
std::string format_duration(double seconds);

}  // namespace drseed
