// drseed: seeds and migrates block devices. The subcommands belong to the modules; this only joins them.

#include "base/exit_status.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "bitmap/commands.h"
#include "seed/commands.h"

int main(int argc, char** argv) {
  drseed::log::start("drseed");
  drseed::catch_interrupts();
  CLI::App program(
      "Images a disk for shipping, proves the image, and writes it to another disk: one pass, all processors, every "
      "segment "
      "proven, resumable.",
      "drseed");
  program.set_version_flag("--version", "drseed " DRSEED_VERSION);
  program.set_help_all_flag("--help-all", "Help for all commands");
  program.require_subcommand(1);
  program.footer(
      "Exit status: 0 done, 1 the data differ or a verification failed, 2 wrong usage, 3 the environment failed (I/O, "
      "disk full),\n"
      "4 refused for safety (the message names the flag that overrides it).\n\n"
      "Example: drseed image /dev/sdb1 sdb1.drseed && drseed verify sdb1.drseed");
  int exit_status = drseed::kExitUsage;
  drseed::seed::add_image_command(program, exit_status);
  drseed::seed::add_verify_command(program, exit_status);
  drseed::seed::add_apply_command(program, exit_status);
  drseed::seed::add_inspect_command(program, exit_status);
  drseed::seed::add_checksum_command(program, exit_status);
  drseed::bitmap::add_bitmap_command(program, exit_status);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? drseed::kExitDone : drseed::kExitUsage;
  } catch (const std::exception& error) {
    // Only the environment is left: no memory, no more threads.
    drseed::log::error("{}", error.what());
    return drseed::kExitEnvironment;
  }
  return exit_status;
}
