using System.Net;
using System.Text.RegularExpressions;

namespace JobHub.Web.Tests;

/// <summary>What a browser keeps and sends: cookies by host (Secure ones too, as browsers do for this machine), forms with their hidden fields.</summary>
internal sealed partial class Browser : IDisposable
{
    private readonly HttpClient http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false });

    public Browser(Uri home) => Home = home;

    public Uri Home { get; }

    public Dictionary<string, string> Cookies { get; } = [];

    /// <summary>What it says of its own address.</summary>
    public string? ForwardedFor { get; init; }

    /// <summary>All that servers asked to be kept, as they said it.</summary>
    public List<string> SetCookies { get; } = [];

    public Task<Answer> GetAsync(string address) => SendAsync(new HttpRequestMessage(HttpMethod.Get, new Uri(Home, address)));

    /// <summary>Fills in the form of a page and sends it.</summary>
    /// <param name="form">Its name, or the address it is sent to.</param>
    public async Task<Answer> SubmitAsync(string page, string form, params (string Name, string Value)[] fields)
    {
        var html = (await GetAsync(page)).Body;
        var forms = Forms().Matches(html).Select(m => m.Value);
        var chosen = forms.Single(f => f.Contains($"value=\"{form}\"") || f.Contains($"action=\"{form}\""));
        var hidden = Hidden().Matches(chosen).Select(m => (m.Groups[1].Value, WebUtility.HtmlDecode(m.Groups[2].Value)));
        return await PostAsync(form.StartsWith('/') ? form : page, [.. hidden, .. fields]);
    }

    public Task<Answer> PostAsync(string address, params (string Name, string Value)[] fields) => SendAsync(new HttpRequestMessage(HttpMethod.Post, new Uri(Home, address))
    {
        Content = new FormUrlEncodedContent(fields.Select(f => KeyValuePair.Create(f.Name, f.Value))),
    });

    /// <summary>Goes where redirects lead, up to a page.</summary>
    public async Task<Answer> FollowAsync(Answer answer)
    {
        for (var steps = 0; answer.Location is { } next && steps < 10; steps++) answer = await GetAsync(next.ToString());
        return answer;
    }

    public void Dispose() => http.Dispose();

    internal async Task<Answer> SendAsync(HttpRequestMessage request)
    {
        using (request)
        {
            var ours = request.RequestUri!.Authority == Home.Authority;
            // TLS ends in front of the dashboard; here nothing stands in front.
            if (ours) request.RequestUri = new UriBuilder(request.RequestUri) { Scheme = Home.Scheme }.Uri;
            if (ours && Cookies.Count > 0) request.Headers.Add("Cookie", string.Join("; ", Cookies.Select(c => $"{c.Key}={c.Value}")));
            if (ours && ForwardedFor is not null) request.Headers.Add("X-Forwarded-For", ForwardedFor);
            using var answer = await http.SendAsync(request);
            foreach (var set in ours && answer.Headers.TryGetValues("Set-Cookie", out var sets) ? sets : [])
            {
                SetCookies.Add(set);
                var pair = set.Split(';')[0].Split('=', 2);
                if (pair[1].Length == 0) Cookies.Remove(pair[0]);
                else Cookies[pair[0]] = pair[1];
            }

            var location = answer.Headers.Location is { } to ? new Uri(request.RequestUri, to) : null;
            return new Answer(answer.StatusCode, location, await answer.Content.ReadAsStringAsync(), answer.Headers.CacheControl?.NoStore is true);
        }
    }

    [GeneratedRegex("<form.*?</form>", RegexOptions.Singleline)]
    private static partial Regex Forms();

    [GeneratedRegex("<input type=\"hidden\" name=\"([^\"]+)\" value=\"([^\"]*)\"")]
    private static partial Regex Hidden();
}

internal sealed record Answer(HttpStatusCode Status, Uri? Location, string Body, bool NoStore);
