# A Docker CLI over a folder: what `toolchain` asks of it, and nothing else. FOLDER is set by who writes it to PATH.
#   down                there: no engine answers           info          what `docker info` prints
#   containers/NAME     `docker inspect` document          containers/NAME.image
#   volumes/NAME        labels, a JSON object              volume-list   what `docker volume ls` prints
#   images/TAG          `docker image inspect` document    hub/TAG       the same, for images that can be pulled
#   images-of/REPOSITORY what `docker image ls REPOSITORY` prints
#   busy/PORT           taken by something else            raced, stuck  see `run` and `start`
cd "$FOLDER" || exit 9
if [ -e down ]; then
    [ "$1" != info ] || printf '""\n{}\n'
    echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock" >&2
    exit 1
fi

last() { for word; do :; done; echo "$word"; }
after() {
    wanted=$1
    while [ $# -gt 1 ]; do
        shift
        [ "$1" != "$wanted" ] || { echo "$2"; return; }
    done
}
container() {  # NAME RUNNING PORT IMAGE
    printf '{"State": {"Running": %s}, "HostConfig": {"PortBindings": {"5000/tcp": [{"HostPort": "%s"}]}}}\n' \
        "$2" "$3" >"containers/$1"
    echo "$4" >"containers/$1.image"
}

case "$1 $2" in
    "info --format") cat info ;;
    "container inspect")
        format=$4 status=0
        shift 4
        for name; do
            if [ ! -e "containers/$name" ]; then
                echo "No such container: $name" >&2
                status=1
            elif [ "$format" = "{{json .}}" ]; then
                cat "containers/$name"
            else
                echo "$(cat "containers/$name.image") /$name"
            fi
        done
        exit $status ;;
    "ps --all") ls containers | grep -v '\.image$' ;;
    "start "*)
        [ ! -e stuck ] || exit 1
        sed -i 's/"Running": false/"Running": true/' "containers/$2" ;;
    "run --detach")
        name=$(after --name "$@") publish=$(after --publish "$@")
        port=${publish#*:} port=${port%:*}
        if [ -e raced ]; then  # by another user
            container "$name" true "$(cat raced)" registry:2
            echo "Conflict. The container name \"/$name\" is already in use by container \"f00\"." >&2
            exit 125
        fi
        [ -e busy/"$port" ] && running=false || running=true
        container "$name" $running "$port" "$(last "$@")"
        [ $running = true ] || { echo "Bind for $publish failed: port is already allocated" >&2; exit 125; } ;;
    "rm --force") rm -f "containers/$3" "containers/$3.image" ;;
    "volume create") [ -e "volumes/$5" ] || printf '{"%s": "%s"}\n' "${4%%=*}" "${4#*=}" >"volumes/$5" ;;
    "volume inspect") cat "volumes/$5" 2>&1 ;;
    "volume rm") rm -f "volumes/$(last "$@")" ;;
    "volume ls") cat volume-list ;;
    "image inspect")
        status=0
        shift 4
        for tag; do
            cat "images/$tag" 2>/dev/null || status=1
        done
        exit $status ;;
    "image ls") cat "images-of/$(last "$@")" 2>/dev/null || true ;;
    "image rm") ;;
    "pull "*)
        [ -e "hub/$2" ] || { echo "Error response from daemon: no such host" >&2; exit 1; }
        echo "Pulling $2"
        mkdir -p "$(dirname "images/$2")"
        cp "hub/$2" "images/$2" ;;
    "buildx build")
        tag=$(after --tag "$@") labels=
        mkdir -p "$(dirname "images/$tag")"
        while [ $# -gt 1 ]; do
            [ "$1" != --label ] || labels="$labels, \"${2%%=*}\": \"${2#*=}\""
            shift
        done
        printf '{"RepoTags": ["%s"], "Config": {"Labels": {%s}}}\n' "$tag" "${labels#, }" >"images/$tag" ;;
    "tag "* | "push "*) ;;
    *) echo "the fake docker does not know: $*" >&2; exit 64 ;;
esac
