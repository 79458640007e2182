package errs

// Retry says whether, and how, the same request may be sent again.
type Retry string

// The advice a row can give.
const (
	RetryNo        Retry = "no"                  // the same request fails again
	RetryYes       Retry = "yes"                 // at once, at another node
	RetryLater     Retry = "later"               // after a pause that grows
	RetrySameID    Retry = "with the same id"    // it may have been written; the id makes the repeat harmless
	RetryAfterRead Retry = "after reading again" // with a new decision
)

// Row is what every door needs to know of a code.
type Row struct {
	Code    Code
	GRPC    uint32 // google.rpc.Code
	HTTP    int
	Exit    int // of the command line
	Retry   Retry
	Meaning string
	Remedy  string
}

// google.rpc.Code values, so that this floor needs no gRPC.
const (
	grpcInvalidArgument    = 3
	grpcDeadlineExceeded   = 4
	grpcNotFound           = 5
	grpcAlreadyExists      = 6
	grpcPermissionDenied   = 7
	grpcResourceExhausted  = 8
	grpcFailedPrecondition = 9
	grpcAborted            = 10
	grpcOutOfRange         = 11
	grpcUnimplemented      = 12
	grpcInternal           = 13
	grpcUnavailable        = 14
	grpcDataLoss           = 15
	grpcUnauthenticated    = 16
)

// Exit codes of the command line.
const (
	exitFailure  = 1
	exitUsage    = 2
	exitDenied   = 3
	exitTryAgain = 4
	exitConflict = 5
	exitMissing  = 6
	exitRejected = 7
)

var table = []Row{
	{Invalid, grpcInvalidArgument, 400, exitUsage, RetryNo,
		"the request is malformed or out of range", "correct the field that is named"},
	{Unauthenticated, grpcUnauthenticated, 401, exitDenied, RetryNo,
		"the caller is not known", "send a valid token or certificate"},
	{Forbidden, grpcPermissionDenied, 403, exitDenied, RetryNo,
		"the caller may not do this", "ask for the permission that is named"},
	{NotFound, grpcNotFound, 404, exitMissing, RetryNo,
		"there never was such a thing", "check the name"},
	{Gone, grpcNotFound, 410, exitMissing, RetryNo,
		"it was deleted", "use another name, or recreate it"},
	{Exists, grpcAlreadyExists, 409, exitConflict, RetryNo,
		"there is one already", "use it, or choose another name"},
	{Conflict, grpcAborted, 409, exitConflict, RetryAfterRead,
		"the expected revision differs from the actual one", "read the stream, decide again, and expect the actual revision"},
	{Rejected, grpcFailedPrecondition, 422, exitRejected, RetryNo,
		"the handler said no", "see the handler's own code and message"},
	{TooLarge, grpcInvalidArgument, 413, exitUsage, RetryNo,
		"the request is over a limit", "send less, or raise the limit that is named"},
	{Busy, grpcResourceExhausted, 429, exitTryAgain, RetryLater,
		"a queue or quota is full; nothing was written", "try again after a pause, or send less at once"},
	{NoSpace, grpcResourceExhausted, 507, exitTryAgain, RetryLater,
		"the disk is below its floor; nothing was written", "free space on the volume that is named"},
	{Trimmed, grpcOutOfRange, 410, exitMissing, RetryNo,
		"the position is no longer kept", "start from the first kept position that is named"},
	{NoLeader, grpcUnavailable, 503, exitTryAgain, RetryYes,
		"the shard has no leader here; nothing was written", "try again, at the leader if one is named"},
	{Unavailable, grpcUnavailable, 503, exitTryAgain, RetryLater,
		"it cannot be done now; nothing was written", "try again after a pause; the message says why"},
	{UnknownOutcome, grpcDeadlineExceeded, 504, exitTryAgain, RetrySameID,
		"it may have been written", "repeat with the same id to learn the outcome"},
	{Corrupt, grpcDataLoss, 500, exitFailure, RetryNo,
		"stored bytes fail their checksum", "restore the file that is named from a replica or backup; see `gesta check`"},
	{Unsupported, grpcUnimplemented, 501, exitUsage, RetryNo,
		"this version does not know the version or feature", "use a newer one"},
	{Internal, grpcInternal, 500, exitFailure, RetryNo,
		"a fault in the program", "report it with the server's log"},
}

// Table gives every code's row, in the order of the documentation.
func Table() []Row { return append([]Row(nil), table...) }

// RowOf gives the row of c; a code that is not in the table (from a newer peer) has the row of Internal, under its own name.
func RowOf(c Code) Row {
	for _, row := range table {
		if row.Code == c {
			return row
		}
	}
	row := table[len(table)-1]
	row.Code = c
	return row
}
