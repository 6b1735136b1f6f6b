# shellcheck shell=bash
# What scripts share: functions, and `here`, this folder.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Where cargo builds.
target_dir=${CARGO_TARGET_DIR:-$here/../target}

# Older versions of the AWS CLI read only AWS_DEFAULT_REGION.
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-${AWS_REGION:-}}
[ -n "$AWS_DEFAULT_REGION" ] || unset AWS_DEFAULT_REGION

say() { echo "infra: $*" >&2; }
stop() { say "$@"; exit 1; }

# The machine's architecture, by AWS's name.
own_architecture() {
    case $(uname -m) in
        aarch64 | arm64) echo arm64 ;;
        x86_64) echo x86_64 ;;
        *) stop "unsupported architecture $(uname -m)" ;;
    esac
}

# Rust's name of a Linux architecture.
linux_target() { echo "${1/arm64/aarch64}-unknown-linux-gnu"; }

# The target of the release's program for this machine.
own_target() {
    case $(uname -s)-$(own_architecture) in
        Linux-*) linux_target "$(own_architecture)" ;;
        Darwin-arm64) echo aarch64-apple-darwin ;;
        Darwin-x86_64) echo x86_64-apple-darwin ;;
        *) stop "releases have no program for $(uname -s)" ;;
    esac
}

# The hash of a file, for a name that changes only with its content.
hash_of() { openssl dgst -sha256 -r "$1" | cut -c1-16; }

# The hash of a folder's files, with their names. Without git, so that it works in an unpacked archive, and sees changes that
# are not committed. Further arguments go to find.
hash_of_files() {
    local folder=$1
    shift
    (cd "$folder" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 openssl dgst -sha256 -r) |
        openssl dgst -sha256 -r | cut -c1-16
}

# The hash of all that an image is built from: what Dockerfile.dockerignore lets through, and the Dockerfile itself.
hash_of_sources() {
    # shellcheck disable=SC2046 # These paths have no spaces.
    hash_of_files "$here/.." $(sed -n 's/^!//p' "$here/Dockerfile.dockerignore") infra/Dockerfile infra/Dockerfile.dockerignore \
        -name target -prune -o
}

# The glibc that programs meet on instances and in Lambda. A program that needs a newer one does not start.
# https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html, https://docs.aws.amazon.com/linux/al2023/ug/lambda.html
glibc_of_amazon_linux=34

# Builds a program for Linux, and prints its path. zig is the C compiler and the linker, for both architectures. It links with that glibc,
# even if this machine's is newer.
build_program() {
    local package=$1 profile=$2 architecture=$3 target
    target=$(linux_target "$architecture")
    command -v cargo-zigbuild > /dev/null ||
        stop "cargo-zigbuild not found; run: python3 -m pip install --requirement infra/requirements.txt"
    say "building $package for $target with zig"
    cargo zigbuild --locked --manifest-path "$here/../Cargo.toml" --package "$package" --bin "$package" --profile "$profile" \
        --target "$target.2.$glibc_of_amazon_linux" --target-dir "$target_dir" >&2
    echo "$target_dir/$target/$profile/$package"
}

# Builds and pushes the image of the workers, unless the repository has it. Without provenance, one image is pushed; with it, an index
# of an image and an attestation, which the repository counts as three: https://github.com/docker/buildx/issues/1507
push_image() {
    local architecture=$1 image=$2
    ! repository_has "$image" || return 0
    log_in_to_repository "$image"
    say "building the image for $architecture; takes about half an hour on two cores the first time"
    docker buildx build --platform "linux/${architecture/x86_64/amd64}" --file "$here/Dockerfile" --provenance=false \
        --tag "$image" --push "$here/.." >&2
}

# Copies an image to the repository, unless the repository has it. Nothing is pulled to this machine:
# https://docs.docker.com/build/ci/github-actions/copy-image-registries/
copy_image() {
    local from=$1 image=$2
    ! repository_has "$image" || return 0
    log_in_to_repository "$image"
    say "copying $from to the repository"
    docker buildx imagetools create --tag "$image" "$from" >&2
}

# Whether the repository has an image with this tag. Its tags are immutable: pushing one again fails, even for the same image.
# https://github.com/aws/containers-roadmap/issues/2179
repository_has() {
    local image=${1#*/} found
    found=$(aws ecr list-images --repository-name "${image%:*}" --filter tagStatus=TAGGED --output text \
        --query "imageIds[?imageTag=='${image##*:}'].imageTag") || stop "the images of ${image%:*} could not be listed"
    [ -n "$found" ] && say "the repository already has the image ${image##*:}"
}

log_in_to_repository() {
    command -v docker > /dev/null || stop "Docker not found; install it, or use --image, or --compute ec2, which needs no Docker"
    aws ecr get-login-password | docker login --username AWS --password-stdin "${1%%/*}" >&2
}

# The version of this project.
project_version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../Cargo.toml"; }

# The URL of a release's files. LOGMILL_RELEASES names another place with a folder per release, such as a mirror.
release_url() {
    local repository
    repository=$(sed -n 's/^repository = "\(.*\)"$/\1/p' "$here/../Cargo.toml")
    [ -n "${LOGMILL_RELEASES:-$repository}" ] ||
        stop "Cargo.toml names no repository to download releases from; set LOGMILL_RELEASES to the URL of a folder that contains v$1/"
    echo "${LOGMILL_RELEASES:-$repository/releases/download}/v$1"
}

# Downloads files of a release to a folder, and compares them with the release's checksums.
download_release() {
    local version=$1 folder=$2 url file expected
    shift 2
    url=$(release_url "$version")
    for file in SHA256SUMS "$@"; do
        say "downloading $url/$file"
        curl --fail --silent --show-error --location --retry 3 --output "$folder/$file" "$url/$file" ||
            stop "$url/$file could not be downloaded"
    done
    for file in "$@"; do
        expected=$(awk -v file="$file" '$2 == file { print $1 }' "$folder/SHA256SUMS")
        [ "$expected" = "$(openssl dgst -sha256 -r "$folder/$file" | cut -d ' ' -f 1)" ] ||
            stop "$url/$file does not have the checksum that the release's SHA256SUMS lists: download it again, and don't use it if this repeats"
    done
}

# Downloads the program of a release for a target, and prints its path.
release_program() {
    local version=$1 target=$2 folder=$3 archive=logmill-$1-$2
    download_release "$version" "$folder" "$archive.tar.gz"
    tar -xzf "$folder/$archive.tar.gz" -C "$folder"
    echo "$folder/$archive/logmill"
}

# Prints the path of a logmill binary for this machine. Builds one if none is found.
find_logmill() {
    local program
    for program in "$(command -v logmill || true)" "$target_dir/release/logmill" "$target_dir/debug/logmill"; do
        if [ -x "$program" ]; then
            echo "$program"
            return
        fi
    done
    say "building logmill for this machine, to check the rollups; takes about a quarter of an hour the first time"
    cargo build --locked --manifest-path "$here/../Cargo.toml" --package logmill --bin logmill --target-dir "$target_dir" >&2
    echo "$target_dir/debug/logmill"
}

# Stops if a program does not run on Amazon Linux 2023 of an architecture. objdump is where programs are linked: Linux has that of
# binutils, macOS that of LLVM, and both print the versions that a program needs in the same form.
check_program() {
    local program=$1 architecture=$2 built_for references needed
    # The magic number of ELF, and, as the last two of these bytes, the machine.
    case $(od -An -tx1 -N20 "$program" | tr -d ' \n') in
        7f454c46*3e00) built_for=x86_64 ;;
        7f454c46*b700) built_for=arm64 ;;
        *) stop "$program is not a Linux program for arm64 or x86_64" ;;
    esac
    [ "$built_for" = "$architecture" ] ||
        stop "$program is built for $built_for, not $architecture; use --architecture $built_for, or another program"
    command -v objdump > /dev/null || stop "objdump not found; install binutils, or on macOS the command line tools of Xcode"
    references=$(objdump -p "$program") || stop "objdump can't read $program"
    # 0x00: the loader refuses to start the program without this version. It tolerates that a weak one, 0x02, is missing.
    needed=$(sed -n 's/^ *0x[0-9a-f]* 0x00 [0-9]* GLIBC_2\.\([0-9]*\).*/\1/p' <<< "$references" | sort -n | tail -n 1)
    [ "${needed:-0}" -le "$glibc_of_amazon_linux" ] ||
        stop "$program needs glibc 2.$needed, and Amazon Linux 2023 has 2.$glibc_of_amazon_linux; build it with" \
            "cargo zigbuild --target $(linux_target "$architecture").2.$glibc_of_amazon_linux, or let infra/deploy build it"
}

# The names of a folder's rollups, each in a line.
rollups_in() { (cd "$1" && find . -maxdepth 1 -name '*.sql' | sed 's|^\./||; s|\.sql$||' | LC_ALL=C sort); }

# Prints an output of a stack; nothing if the stack or the output does not exist.
output() {
    local value
    value=$(aws cloudformation describe-stacks --stack-name "$1" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue | [0]" 2> /dev/null) || value=
    [ "$value" = None ] || echo "$value"
}

stack_exists() { aws cloudformation describe-stacks --stack-name "$1" > /dev/null 2>&1; }

# Prints the status of a stack; nothing if the stack does not exist.
stack_status() {
    aws cloudformation describe-stacks --stack-name "$1" --output text --query 'Stacks[0].StackStatus' 2> /dev/null || true
}

# Whether a stack's first deployment failed. Such a stack was never in use, and can only be deleted, not updated:
# https://github.com/aws-actions/aws-cloudformation-github-deploy/issues/107
never_created() {
    case $1 in ROLLBACK_COMPLETE | ROLLBACK_FAILED | CREATE_FAILED) true ;; *) false ;; esac
}

# Creates a role that a service has for its own use, if the account does not have it yet. CloudFormation does not: in a new account,
# the first cluster fails with "Unable to assume the service linked role", and a second attempt succeeds.
# https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/818
create_service_role() {
    local service=$1 found failure
    found=$(aws iam list-roles --path-prefix "/aws-service-role/$service/" --output text --query 'Roles[].RoleName' 2> /dev/null) ||
        found=""
    [ -z "$found" ] || return 0
    failure=$(aws iam create-service-linked-role --aws-service-name "$service" 2>&1 > /dev/null) && say "created $service's role" && return
    case $failure in
        # It exists, and we may not list it.
        *"has been taken"*) ;;
        *) stop "creating $service's role failed: $failure; somebody with the permission iam:CreateServiceLinkedRole must run:" \
            "aws iam create-service-linked-role --aws-service-name $service" ;;
    esac
}

# Sets our entry in the bucket's notifications, or removes it if no kind and JSON are given. The notifications are one document;
# our entry has our name as its Id, and the others stay unchanged. A template could do this only for a bucket that it creates.
notify() {
    local bucket=$1 id=$2 kind=${3:-} entry=${4:-} query="" each ours after
    for each in LambdaFunctionConfigurations QueueConfigurations TopicConfigurations; do
        ours=""
        [ "$each" != "$kind" ] || ours=$entry
        query+="{$each: [${each}[?Id!='$id'] || \`[]\`, \`[$ours]\`][]}, "
    done
    # An empty object enables EventBridge, but JMESPath treats it as false.
    query="merge($query EventBridgeConfiguration != null && {EventBridgeConfiguration: EventBridgeConfiguration} || \`{}\`)"
    after=$(aws s3api get-bucket-notification-configuration --bucket "$bucket" --output json --query "$query")
    aws s3api put-bucket-notification-configuration --bucket "$bucket" --notification-configuration "$after"
}
