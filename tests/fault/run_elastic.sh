#!/bin/sh
# One array of all ranks: 4 ranks' checkpoint restored by 1, 2, 6 and 9, bit for bit, and by 4 again; `belay view` shows the arrays as
# one, to h5dump and h5py; what does not fit is said.
. "${0%/*}/../mpi/lib.sh"
elastic=$programs/elastic
every="--every 4 --stable process"

run reference $every "$elastic" 20
reference=$(result_of "$log")
check "undisturbed: a result" test -n "$reference"
run old $every --max-restarts 0 --kill 2@step=14 "$elastic" 20
check "the old job dies" not ended 0

# go_on NAME RANKS OPTION...
go_on() {
    name=$1 n=$2
    shift 2
    job "$name" "$belay" run -n "$n" --dir "$scratch/$name" $every --from "$scratch/old" "$@"
}
for n in 1 2 4 6 9; do
    go_on "with-$n" $n --mpirun-arg --oversubscribe "$elastic" 20
    check "$n ranks: begin with it" says 'begins with checkpoint 3 of .*old, at safe point 12'
    check "$n ranks: at that step" says 'begins at step 12, resumed 1, safe point 12'
    check "$n ranks: same result" same_result
    check "$n ranks: exit status 0" ended 0
done
# Of its own checkpoints afterwards.
go_on own 6 --kill 1@step=17 "$elastic" 20
check "killed later: from its own" says 'resumed from checkpoint 2 at safe point 16'
check "killed later: same result" same_result
# The newest is damaged: the one before.
printf x | dd of="$scratch/old/rank-00001/ckpt-000003.h5" bs=1 seek=6000 conv=notrunc 2>/dev/null
go_on damaged 3 "$elastic" 20
check "damaged: said" says 'rank-00001/ckpt-000003.h5 .* is damaged'
check "damaged: the one before" says 'begins with checkpoint 2 of .*old, at safe point 8'
check "damaged: same result" same_result

# --- refused, with the reason ---
run alone $every --max-restarts 0 --kill 2@step=14 "$elastic" 20 alone
job no-alone "$belay" run -n 2 --dir "$scratch/no-alone" $every --from "$scratch/alone" "$elastic" 20 alone
check "no part, and not the same on all ranks: said" says "variable 'alone' of checkpoint 3 in .*alone: it was not the same on all ranks, and is no part of a whole"
check "no part: exit status 1" ended 1
check "no part: no step is made" not says '^begins at step'
run ghostly $every --max-restarts 0 --kill 2@step=14 "$elastic" 20 ghostly
job no-ghostly "$belay" run -n 2 --dir "$scratch/no-ghostly" $every --from "$scratch/ghostly" "$elastic" 20
check "a part here and none there: said" says 'it is a part of a whole here or there, not in both'
job no-job "$belay" run -n 2 --dir "$scratch/no-job" $every --from "$scratch/nowhere" "$elastic" 20
check "no such job: said" says 'there is no job directory .*nowhere'
check "no such job: exit status 1" ended 1

# --- one file for people ---
run heat --every 10 --stable process "$heat2d" --size 64 --steps 21 --quiet
job heat-view "$belay" view --dir "$scratch/heat"
check "view: heat2d's plate" says '^1 array of checkpoint 2'
if command -v pvpython >/dev/null; then
    cat >"$scratch/paraview.py" <<'EOF'
import sys
from paraview.simple import XDMFReader, Xdmf3ReaderS
for make, option in ((XDMFReader, "FileNames"), (Xdmf3ReaderS, "FileName")):
    reader = make(**{option: [sys.argv[1]]})
    reader.UpdatePipeline()
    info = reader.GetDataInformation()
    print("ParaView:", make.__name__, info.GetNumberOfPoints(), "points,",
          "%.0f to %.0f" % info.GetPointDataInformation().GetArrayInformation("temperature").GetComponentRange(0))
EOF
    QT_QPA_PLATFORM=offscreen
    export QT_QPA_PLATFORM
    job paraview pvpython --force-offscreen-rendering "$scratch/paraview.py" "$scratch/heat/view-000002.xdmf"
    check "ParaView: its readers open it" says 'ParaView: XDMFReader 4096 points, 0 to [0-9][0-9]*'
    check "ParaView: both of them" says 'ParaView: Xdmf3ReaderS 4096 points, 0 to [0-9][0-9]*'
fi
job view "$belay" view --dir "$scratch/with-6"
check "view: three arrays" says '^3 arrays of checkpoint'
view=$(ls "$scratch"/with-6/view-*.h5)
check "view: exit status 0" ended 0
if command -v h5dump >/dev/null; then
    log=$scratch/h5dump.log
    h5dump -d /plane -y -w 1 "$view" >"$log" 2>&1
    check "h5dump: opens it" says 'DATASPACE  SIMPLE { ( 37, 53 )'
    check "h5dump: reads every element" test "$(grep -c '^ *[0-9][0-9]*,\{0,1\}$' "$log")" = $((37 * 53))
fi
python=
for candidate in python3 /usr/bin/python3; do
    $candidate -c 'import h5py' 2>/dev/null && python=$candidate
done
if [ -n "$python" ] || [ -n "$CI" ]; then
    cat >"$scratch/read.py" <<'EOF'
import sys, h5py, glob
view = h5py.File(sys.argv[1], "r")
for name, shape in (("line", (1001,)), ("plane", (37, 53)), ("box", (11, 13, 17))):
    array = view[name]
    assert array.shape == shape and array.is_virtual, name
    whole = array[...]
    seen = 0
    for path in glob.glob(sys.argv[2]):
        part = h5py.File(path, "r")["state/" + name]
        total, offset, count, first = part.attrs["belay_part"]
        assert tuple(total) == shape
        own = part[tuple(slice(int(f), int(f + c)) for f, c in zip(first, count))]
        assert (own == whole[tuple(slice(int(o), int(o + c)) for o, c in zip(offset, count))]).all(), (path, name)
        seen += own.size
    assert seen == whole.size, name
print("h5py: the whole is its parts")
EOF
    number=$(basename "$view" .h5 | sed 's/view-//')
    job h5py "$python" "$scratch/read.py" "$view" "$scratch/with-6/rank-*/ckpt-$number.h5"
    check "h5py: the whole is its parts" says 'h5py: the whole is its parts'
    mv "$scratch/with-6" "$scratch/elsewhere"
    job h5py-moved "$python" "$scratch/read.py" "$scratch/elsewhere/$(basename "$view")" "$scratch/elsewhere/rank-*/ckpt-$number.h5"
    check "h5py: also when the directory is moved" says 'h5py: the whole is its parts'
    mv "$scratch/elsewhere" "$scratch/with-6"
    check "XDMF: is XML, and names the arrays" "$python" -c 'import sys, xml.dom.minidom as x
d = x.parse(sys.argv[1]); names = [g.getAttribute("Name") for g in d.getElementsByTagName("Grid")]
assert sorted(names) == ["box", "line", "plane"], names
assert all(":/" in i.firstChild.data for i in d.getElementsByTagName("DataItem") if i.getAttribute("Format") == "HDF")' "${view%.h5}.xdmf"
fi
job no-view "$belay" view --dir "$scratch/ghostly"
check "view: nothing to show: said" says 'has no variable that is a part of a whole on all ranks'
check "view: nothing to show: exit status 1" ended 1
check "view: nothing is left" test -z "$(find "$scratch/ghostly" -name 'view-*')"
summary
