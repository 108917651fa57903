using System.Text.Json;
using System.Text.Json.Serialization;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;

namespace JobHub.Engine;

/// <summary>JSON as the engine keeps it in Postgres and as agents speak it: camelCase, nulls left out, enums as text.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UseStringEnumConverter = true)]
[JsonSerializable(typeof(Dictionary<string, long>))]
[JsonSerializable(typeof(Dictionary<string, string>))]
[JsonSerializable(typeof(JobError))]
[JsonSerializable(typeof(AttemptError))]
[JsonSerializable(typeof(MapReduceSpec))]
[JsonSerializable(typeof(CommandDetails))]
[JsonSerializable(typeof(AnalysisDetails))]
[JsonSerializable(typeof(PendingOutput))]
[JsonSerializable(typeof(Storage.StorageCredentials))]
[JsonSerializable(typeof(LogGap[]))]
[JsonSerializable(typeof(OpenSession))]
[JsonSerializable(typeof(SessionOpened))]
[JsonSerializable(typeof(FolderProof))]
[JsonSerializable(typeof(ClaimRequest))]
[JsonSerializable(typeof(ClaimAnswer))]
[JsonSerializable(typeof(RenewRequest))]
[JsonSerializable(typeof(RenewAnswer))]
[JsonSerializable(typeof(ControlAnswer))]
[JsonSerializable(typeof(CompleteRequest))]
[JsonSerializable(typeof(CompleteAnswer))]
[JsonSerializable(typeof(RunPage))]
[JsonSerializable(typeof(FilePage))]
[JsonSerializable(typeof(AttemptSpec))]
[JsonSerializable(typeof(AttemptResult))]
[JsonSerializable(typeof(LogContent))]
[JsonSerializable(typeof(UploadOpened))]
[JsonSerializable(typeof(PartUrlsRequest))]
[JsonSerializable(typeof(string[][]))]
[JsonSerializable(typeof(string[]))]
public sealed partial class EngineJson : JsonSerializerContext;
