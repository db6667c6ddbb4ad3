# How modules are declared. A pure target links only the standard library, fmt, xxHash and expected, or another
# pure target: `drseed_pure_library` stops the configuration otherwise, so that the arrow of design.md holds.

set(DRSEED_PURE_ALLOWED fmt::fmt tl::expected PkgConfig::xxhash)

function(drseed_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
 -Wcast-align)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

function(drseed_library target)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${target} STATIC ${ARG_SOURCES})
  drseed_warnings(${target})
  target_link_libraries(${target} PUBLIC ${ARG_LINK})
endfunction()

function(drseed_pure_library target)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  get_property(pure GLOBAL PROPERTY DRSEED_PURE_TARGETS)
  foreach(link IN LISTS ARG_LINK)
    if(NOT link IN_LIST DRSEED_PURE_ALLOWED AND NOT link IN_LIST pure)
      message(FATAL_ERROR "${target} is pure and must not link ${link}")
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY DRSEED_PURE_TARGETS ${target})
  drseed_library(${target} SOURCES ${ARG_SOURCES} LINK ${ARG_LINK})
endfunction()
