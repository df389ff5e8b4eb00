# Makes a C array of the lines of page.html, so that the program carries its page with it.
BEGIN { print "/* made from page.html by page.awk */"; print "static const char *const page_html[] = {" }
{ gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); print "    \"" $0 "\\n\"," }
END { print "};" }
