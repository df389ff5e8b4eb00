dist_doc_DATA += doc/format.md doc/guide.md
dist_man_MANS += doc/man/belay.1 doc/man/belay-run.1 doc/man/belay-ls.1 doc/man/belay-show.1 doc/man/belay-verify.1 doc/man/belay-rebuild.1 doc/man/belay-view.1 \
	doc/man/belay-line.1 doc/man/belay-gc.1 doc/man/belay-replay.1 doc/man/belay.3
EXTRA_DIST += doc/domino.svg
