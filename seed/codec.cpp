#include "seed/codec.h"

#include <zlib.h>
#include <zstd.h>

#include <cassert>
#include <charconv>
#include <cstring>

namespace drseed::seed {
namespace {

constexpr int kGzipFormat = MAX_WBITS + 16;  // zlib writes and expects a gzip frame, with its CRC

// zstd's level 1 with a window that covers a segment, a hash table of 2^16 and matches from 6 bytes. Measured on two 4
// GiB ext4 volumes of /usr: output 4 and 5 % smaller than gzip -6's, where plain level 1 makes 2 % more; it costs 6 to
// 13 % more time than that.
constexpr int kFastWindowLog = 22;
constexpr int kFastHashLog = 16;
constexpr int kFastMinMatch = 6;

int level_max(Codec codec) {
  if (codec == Codec::kZstd) return ZSTD_maxCLevel();
  return codec == Codec::kGzip ? 9 : 0;
}

}  // namespace

Result<Compression> parse_compression(std::string_view text) {
  const auto colon = text.find(':');
  const auto codec = codec_named(text.substr(0, colon));
  if (!codec)
    return fail(ErrorCode::kUsage, "'{}' is no compression; use zstd, zstd:LEVEL, gzip, gzip:LEVEL or none", text);
  Compression compression{*codec, *codec == Codec::kZstd ? 1 : (*codec == Codec::kGzip ? 6 : 0)};
  if (colon == std::string_view::npos) return compression;
  if (*codec == Codec::kNone) return fail(ErrorCode::kUsage, "'{}': none takes no level", text);
  const auto digits = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), compression.level);
  if (error != std::errc{} || end != digits.data() + digits.size() || compression.level < 1 ||
      compression.level > level_max(*codec)) {
    return fail(ErrorCode::kUsage, "'{}': {} takes levels from 1 to {}", text, name_of(*codec), level_max(*codec));
  }
  return compression;
}

struct SegmentCompressor::State {
  ZSTD_CCtx* zstd = nullptr;
  z_stream deflate{};
  bool deflate_ready = false;
  ~State() {
    ZSTD_freeCCtx(zstd);
    if (deflate_ready) deflateEnd(&deflate);
  }
};

SegmentCompressor::SegmentCompressor(Compression compression)
    : compression_(compression), state_(std::make_unique<State>()) {
  if (compression.codec == Codec::kZstd) {
    state_->zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(state_->zstd, ZSTD_c_compressionLevel, compression.level);
    if (compression.level == 1) {
      ZSTD_CCtx_setParameter(state_->zstd, ZSTD_c_windowLog, kFastWindowLog);
      ZSTD_CCtx_setParameter(state_->zstd, ZSTD_c_hashLog, kFastHashLog);
      ZSTD_CCtx_setParameter(state_->zstd, ZSTD_c_minMatch, kFastMinMatch);
    }
  } else if (compression.codec == Codec::kGzip) {
    state_->deflate_ready =
        deflateInit2(&state_->deflate, compression.level, Z_DEFLATED, kGzipFormat, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    assert(state_->deflate_ready);
  }
}

SegmentCompressor::~SegmentCompressor() = default;

std::size_t SegmentCompressor::compress(std::span<const std::uint8_t> plain, std::span<std::uint8_t> stored) {
  assert(stored.size() >= stored_bytes_max(plain.size()));
  switch (compression_.codec) {
    case Codec::kNone:
      std::memcpy(stored.data(), plain.data(), plain.size());
      return plain.size();
    case Codec::kGzip: {
      z_stream& stream = state_->deflate;
      deflateReset(&stream);
      stream.next_in = const_cast<Bytef*>(plain.data());
      stream.avail_in = static_cast<uInt>(plain.size());
      stream.next_out = stored.data();
      stream.avail_out = static_cast<uInt>(stored.size());
      const int result = deflate(&stream, Z_FINISH);
      assert(result == Z_STREAM_END);
      return stored.size() - stream.avail_out;
    }
    case Codec::kZstd: {
      const auto length = ZSTD_compress2(state_->zstd, stored.data(), stored.size(), plain.data(), plain.size());
      assert(!ZSTD_isError(length));
      return length;
    }
  }
  return 0;
}

struct SegmentDecompressor::State {
  ZSTD_DCtx* zstd = ZSTD_createDCtx();
  z_stream inflate{};
  bool inflate_ready = inflateInit2(&inflate, kGzipFormat) == Z_OK;
  ~State() {
    ZSTD_freeDCtx(zstd);
    if (inflate_ready) inflateEnd(&inflate);
  }
};

SegmentDecompressor::SegmentDecompressor() : state_(std::make_unique<State>()) {
  assert(state_->inflate_ready);
}
SegmentDecompressor::~SegmentDecompressor() = default;

Result<> SegmentDecompressor::decompress(Codec codec, std::span<const std::uint8_t> stored,
                                         std::span<std::uint8_t> plain) {
  switch (codec) {
    case Codec::kNone:
      if (stored.size() != plain.size())
        return fail(ErrorCode::kDiffers, "{} bytes, expected {}", stored.size(), plain.size());
      std::memcpy(plain.data(), stored.data(), plain.size());
      return {};
    case Codec::kGzip: {
      z_stream& stream = state_->inflate;
      inflateReset(&stream);
      stream.next_in = const_cast<Bytef*>(stored.data());
      stream.avail_in = static_cast<uInt>(stored.size());
      stream.next_out = plain.data();
      stream.avail_out = static_cast<uInt>(plain.size());
      const int result = inflate(&stream, Z_FINISH);
      if (result != Z_STREAM_END || stream.avail_out != 0 || stream.avail_in != 0) {
        return fail(ErrorCode::kDiffers, "gzip data are damaged ({})",
                    stream.msg != nullptr ? stream.msg : "wrong length");
      }
      return {};
    }
    case Codec::kZstd: {
      const auto length = ZSTD_decompressDCtx(state_->zstd, plain.data(), plain.size(), stored.data(), stored.size());
      if (ZSTD_isError(length))
        return fail(ErrorCode::kDiffers, "zstd data are damaged ({})", ZSTD_getErrorName(length));
      if (length != plain.size())
        return fail(ErrorCode::kDiffers, "zstd data give {} bytes, expected {}", length, plain.size());
      return {};
    }
  }
  return fail(ErrorCode::kDiffers, "unknown codec");
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return true;
  // memcmp of the bytes with themselves one further is the fastest portable way: glibc's is vectorised and stops early.
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace drseed::seed
