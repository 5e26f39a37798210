# The effect comes first, then a slow part in which a crash may come.
echo "$1" >> published.txt
echo "published $1, telling the mirrors ..."
sleep "${MIRROR_SECONDS:-5}"
echo "all mirrors know"
