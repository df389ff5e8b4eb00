# wrap.awk - from calls.def: `-v out=list` the CALL(name) list, `-v out=code` the wrappers of all classes but `special`.
BEGIN {
    FS = "\t"
    if (out == "code") {
        print "/* Made by wrap.awk from calls.def. */"
        print "#include \"mpi/runtime.h\"\n"
    }
}
/^#/ || NF < 2 { next }
{
    class = $1
    proto = $2
    name = proto; sub(/^int /, "", name); sub(/\(.*/, "", name)
    params = proto; sub(/^[^(]*\(/, "", params); sub(/\)$/, "", params)
    short = name; sub(/^MPI_/, "", short)
    if (out == "list") { print "CALL(" short ")"; next }
    if (class == "special") next

    args = ""; n = split(params, p, /, */)
    for (i = 1; i <= n; i++) {
        a = p[i]; gsub(/\[[^]]*\]/, "", a); sub(/.*[ *]/, "", a)
        args = args (i > 1 ? ", " : "") a
        last = a
    }
    peer = params ~ /int dest,/ ? "dest" : "source"
    kind = peer == "dest" ? "BL_REQ_SEND" : "BL_REQ_RECV"

    if (class == "isend") { # with MPI_PROC_NULL nothing is saved and restored
        print "static BL_APART int started_" short "(" params ");"
        print "BELAY_API " proto "\n{\n    return bl_to_nobody(dest) ? P" name "(" args ") : started_" short "(" args ");\n}\n"
        print "static BL_APART int started_" short "(" params ")\n{"
    } else {
        print "BELAY_API " proto "\n{"
    }
    print "    if (!bl_rt.counting) return P" name "(" args ");"
    print "    bl_enter();"
    if (class == "send") {
        print "    bl_sent(comm, dest, tag);"
        print "    return P" name "(" args ");"
    } else if (class == "coll") {
        print "    bl_collective(comm);"
        print "    return P" name "(" args ");"
    } else {
        if (class == "refused") print "    bl_rt.refused = \"" name "\";"
        print "    int rc = P" name "(" args ");"
        if (class == "isend") print "    if (rc == MPI_SUCCESS) {\n        bl_sent(comm, dest, tag);\n        bl_request_made(*request, BL_REQ_SEND, BL_CALL_" short ", comm, dest, tag, 0);\n    }"
        if (class == "init") print "    if (rc == MPI_SUCCESS) bl_request_made(*request, " kind ", BL_CALL_" short ", comm, " peer ", tag, 1);"
        if (class == "icoll") print "    if (rc == MPI_SUCCESS) {\n        bl_collective(comm);\n        bl_request_made(*request, BL_REQ_COLLECTIVE, BL_CALL_" short ", comm, 0, 0, 0);\n    }"
        if (class == "comm") print "    if (rc == MPI_SUCCESS) bl_comm_made(*" last ");"
        print "    return rc;"
    }
    print "}\n"
}
