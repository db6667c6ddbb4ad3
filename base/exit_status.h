#pragma once
// The exit statuses of every command (design.md section 13). Scripts rely on them.

#include "base/result.h"

namespace drseed {

enum ExitStatus : int {
  kExitDone = 0,
  kExitDiffers = 1,      // the data differ or a verification failed
  kExitUsage = 2,        // the command line or the configuration is wrong
  kExitEnvironment = 3,  // I/O error, disk full, peer unreachable, interrupted
  kExitRefused = 4,      // refused for safety; the message names the override
};

constexpr ExitStatus exit_status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDiffers:
      return kExitDiffers;
    case ErrorCode::kUsage:
      return kExitUsage;
    case ErrorCode::kEnvironment:
      return kExitEnvironment;
    case ErrorCode::kRefused:
      return kExitRefused;
    case ErrorCode::kInterrupted:
      return kExitEnvironment;
  }
  return kExitEnvironment;
}

}  // namespace drseed
