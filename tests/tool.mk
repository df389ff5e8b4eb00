# tests of src/tool
