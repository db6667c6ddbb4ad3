#pragma once
// What the tests of the formats share.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include "base/digest.h"
#include "base/file.h"
#include "base/hex.h"
#include "seed/apply_journal.h"
#include "seed/codec.h"
#include "seed/image_format.h"
#include "seed/image_meta.h"
#include "seed/json_seal.h"
#include "seed/merkle.h"
#include "seed/range_set.h"
#include "seed/segment_framing.h"
#include "seed/tar_format.h"

namespace drseed::seed {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::uint32_t kSegment = 64 << 10;

inline std::vector<std::uint8_t> random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

inline Id some_id() {
  Id id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(0x10 + i);
  return id;
}

}  // namespace drseed::seed
