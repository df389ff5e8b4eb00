# wrap.awk - from calls.def: `-v out=list` the CALL(name) list, `-v out=code` the wrappers of all classes but `special`.
BEGIN {
    FS = "\t"
    if (out == "code") {
        print "/* Made by wrap.awk from calls.def. */"
        print "#include \"mpi/carry.h\"\n#include \"mpi/log.h\"\n#include \"mpi/trees.h\"\n"
    }
}
/^#/ || NF < 2 { next }

# A call that may wait: a jump while one thread calls MPI, and without the lock when several do.
function waits(name, args) {
    print "    if (!bl_rt.locked) return P" name "(" args ");"
    print "    bl_wait_begin();"
    print "    int rc = P" name "(" args ");"
    print "    bl_wait_end();"
    print "    bl_leave();"
    print "    return rc;\n}\n"
}

# The same where something is left to do when it was successful.
function then(name, args, what, may_wait, replayed) {
    if (may_wait) print "    bl_wait_begin();"
    print "    int rc = " replayed "P" name "(" args ");"
    if (may_wait) print "    bl_wait_end();"
    print "    if (rc == MPI_SUCCESS) " what
    print "    bl_leave();"
    print "    return rc;\n}\n"
}
{
    class = $1
    proto = $2
    name = proto; sub(/^(int|double) /, "", name); sub(/\(.*/, "", name)
    params = proto; sub(/^[^(]*\(/, "", params); sub(/\)$/, "", params)
    short = name; sub(/^MPI_/, "", short)
    if (class == "special" || class == "mpi4") {
        if (out == "list" && class == "special") print "CALL(" short ")"
        if (out == "list" || class == "special") next
    } else if (out == "list") { print "CALL(" short ")"; next }

    args = ""; n = split(params, p, /, */)
    for (i = 1; i <= n; i++) {
        a = p[i]; gsub(/\[[^]]*\]/, "", a); sub(/.*[ *]/, "", a)
        args = args (i > 1 ? ", " : "") a
        last = a
    }
    peer = params ~ /int dest,/ ? "dest" : "source"
    kind = peer == "dest" ? "BL_REQ_SEND" : "BL_REQ_RECV"

    now = "" # a communicator is the one that is current
    for (i = 1; i <= n; i++) if (p[i] ~ /^MPI_Comm [a-z_0-9]+$/) { c = p[i]; sub(/.* /, "", c); now = now "    " c " = " (name ~ /_attr$/ ? "bl_comm_at_first(" : "bl_now(") c ");\n" }

    if (class == "mpi4") {
        print "#ifdef BL_HAVE_MPI4\nBELAY_API " proto "\n{"
        printf "%s", now
        print "    if (bl_rt.on) bl_refuse(\"" name "\", " (params ~ /MPI_Comm comm/ ? "comm" : "MPI_COMM_NULL") ");"
        print "    if (bl_rt.on && bl_rt.settings.logging != BL_LOGGING_NONE) bl_log_unlogged(\"" name "\");"
        print "    return P" name "(" args ");\n}\n#endif\n"
        next
    }
    if (class == "isend") {
        print "static BL_APART int rarely_" short "(" params ");"
        print "BELAY_API " proto "\n{"
        printf "%s", now
        print "    const bl_way *way = bl_way_at_hand(BL_SENT, comm, dest, tag);"
        print "    if (!way || !bl_count_frequent()) return rarely_" short "(" args ");"
        print "    way->slot->sent++;" # before: whoever has received it finds it sent, also after a death in between
        print "    int rc = P" name "(" args ");"
        print "    return rc == MPI_SUCCESS ? bl_request_made_on(*request, way, BL_REQ_SEND, BL_CALL_" short ") : rc;\n}\n"
        print "static BL_APART int rarely_" short "(" params ")\n{"
        print "    if (bl_to_nobody(dest)) return P" name "(" args ");"
    } else {
        print "BELAY_API " proto "\n{"
        printf "%s", now
    }
    if (class == "on") {
        print "    return P" name "(" args ");\n}\n"
        next
    }
    if (class ~ /^(coll|icoll|ifile|file|comm|join|window)$/) {
        print "    int how = bl_enter();"
        print "    if (!how) return P" name "(" args ");"
        if (class == "coll" && short !~ /^Neighbor/) {
            inner = args; sub(/, comm$/, "", inner); if (inner == "comm") inner = ""
            print "    bl_tree_link link;"
            print "    if (how == BL_ENTERED_LOGGED && bl_log_link(comm, \"" name "\", &link))"
            print "        return bl_tree_" short "(&link" (inner != "" ? ", " inner : "") ");"
        } else if (class != "ifile" || short ~ /_all$/) {
            if (class != "comm") print "    if (how == BL_ENTERED_LOGGED) bl_log_unlogged(\"" name "\");"
            else print "    if (how == BL_ENTERED_LOGGED && bl_log_begun()) bl_log_unsupported(\"" name " after the first safe point\");"
        }
    } else if (class ~ /^(send|isend|init|probe)$/) print "    if (!bl_enter_message()) return bl_under->" short "(" args ");"
    else print "    if (!bl_enter()) return P" name "(" args ");"
    if (class == "call" || class == "probe") {
        waits(name, args)
    } else if (class == "send") {
        print "    bl_sent(comm, dest, tag);"
        waits(name, args)
    } else if (class == "coll") {
        print "    bl_collective(comm);"
        waits(name, args)
    } else if (class == "file") {
        print "    bl_file_collective(fh);"
        waits(name, args)
    } else if (class == "isend") {
        print "    bl_sent(comm, dest, tag);"
        then(name, args, "bl_request_made(*request, BL_REQ_SEND, BL_CALL_" short ", comm, dest, tag, 0);", 0)
    } else if (class == "init") {
        then(name, args, "{\n        bl_request_made(*request, " kind ", BL_CALL_" short ", comm, " peer ", tag, 1);\n        if (bl_rt.settings.logging != BL_LOGGING_NONE) bl_log_persistent(buf, count, datatype, " peer ", tag, comm, BL_CALL_" short ", *request);\n    }", 0)
    } else if (class == "icoll") {
        then(name, args, "{\n        bl_icollective(comm, \"" name "\");\n        bl_request_made(*request, BL_REQ_COLLECTIVE, BL_CALL_" short ", comm, 0, 0, 0);\n    }", 0)
    } else if (class == "ifile") {
        collective = short ~ /_all$/ ? "        bl_file_collective(fh);\n" : ""
        then(name, args, "{\n" collective "        bl_request_made(*request, BL_REQ_COLLECTIVE, BL_CALL_" short ", MPI_COMM_NULL, 0, 0, 0);\n    }", 0)
    } else if (class == "comm") {
        informed = args
        if (sub(/, info,/, ", own,", informed)) print "    MPI_Info own = bl_info_kept(info);"
        made = params ~ /local_comm/ ? "bl_comm_bridged(*" last ", local_comm);" \
            : "bl_comm_made(*" last ", " (params ~ /intercomm,/ ? "intercomm" : "comm") ", " (params ~ /int tag/ ? "tag" : 0) ");"
        then(name, informed, made (informed != args ? "\n    bl_info_done(own, info);" : ""), 1, "bl_log_alone() ? bl_log_comm_again(\"" name "\", " last ") : ")
    } else if (class == "join") {
        print "    bl_refuse(\"" name "\", " (params ~ /MPI_Comm comm/ ? "comm" : "MPI_COMM_NULL") ");"
        if (params ~ /MPI_Comm comm/) print "    bl_collective(comm);"
        then(name, args, "bl_comm_made(*" (params ~ /newcomm/ ? "newcomm" : "intercomm") ", MPI_COMM_NULL, 0);", 1)
    } else if (class == "window") {
        print "    bl_refuse(\"" name "\", comm);"
        print "    bl_collective(comm);"
        then(name, args, "bl_window_made(*win, comm);", 1)
    } else {
        print "wrap.awk: " name " has the unknown class " class >"/dev/stderr"
        exit 1
    }
}
