# The `root` wheel of PyPI carries CMake files whose paths contain a folder `mock_site_packages` that exists only
# where the wheel was made. A link of that name in the build tree makes them right. A ROOT from anywhere else needs
# nothing of this, and is left to find_package.
macro(find_root_of_python)
  find_package(Python REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND
      ${Python_EXECUTABLE} -c "import sys, sysconfig
from importlib.machinery import PathFinder
places = [*sys.path, sysconfig.get_path('platlib')]
spec = PathFinder.find_spec('ROOT', places)
print(spec.submodule_search_locations[0] if spec else '', end='')"
    OUTPUT_VARIABLE _root_package)
  if(_root_package AND EXISTS "${_root_package}/cmake/ROOTConfig.cmake" AND NOT ROOT_DIR)
    cmake_path(GET _root_package PARENT_PATH _site_packages)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/_root)
    file(CREATE_LINK ${_site_packages} ${CMAKE_BINARY_DIR}/_root/mock_site_packages SYMBOLIC)
    set(ROOT_DIR ${CMAKE_BINARY_DIR}/_root/mock_site_packages/ROOT/cmake)
    # The libraries that the wheel bundles are found at run time by its own paths, but not by the linker.
    add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-Wl,-rpath-link,${_site_packages}/root.libs>)
  endif()
endmacro()
