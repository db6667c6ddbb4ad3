// drseed bitmap: looks at bitmap files and changes them while no daemon has them.

#include "bitmap/commands.h"

namespace drseed::bitmap {

void add_bitmap_command(CLI::App& program, int& exit_status) {
  auto* bitmap = program.add_subcommand("bitmap", "Show and change a mirror's bitmap file: what a resync would copy");
  bitmap->require_subcommand(1);
  add_create_command(*bitmap, exit_status);
  add_show_command(*bitmap, exit_status);
  add_clear_command(*bitmap, exit_status);
  add_set_command(*bitmap, exit_status);
  add_merge_command(*bitmap, exit_status);
  add_check_command(*bitmap, exit_status);
  add_export_command(*bitmap, exit_status);
  add_import_command(*bitmap, exit_status);
  bitmap->footer("Example: drseed bitmap show /var/lib/drseed/r0.bitmap");
}

}  // namespace drseed::bitmap
