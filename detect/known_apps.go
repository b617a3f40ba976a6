package detect

// MailClients lists Microsoft's applications that read mail for its owner:
// mail clients, background services that index it, and the APIs, which older
// records name where they do not name the client. Applications of Microsoft
// that anybody can point at mail (Graph Explorer, PowerShell, the command line)
// are left out on purpose: intruders use them.
// Source: application ids published by Microsoft, as collected in
// merill/microsoft-info (MIT).
func MailClients() []string {
	return []string{
		"00000002-0000-0ff1-ce00-000000000000", // Office 365 Exchange Online
		"00000003-0000-0000-c000-000000000000", // Microsoft Graph
		"00000003-0000-0ff1-ce00-000000000000", // Office 365 SharePoint Online
		"00000006-0000-0ff1-ce00-000000000000", // Microsoft Office 365 Portal
		"00000007-0000-0ff1-ce00-000000000000", // Microsoft Exchange Online Protection
		"d3590ed6-52b3-4102-aeff-aad2292ab01c", // Microsoft Office
		"27922004-5251-4030-b22d-91ecd9a37ea4", // Outlook Mobile
		"5d661950-3475-41cd-a2c3-d671a3162bc1", // Microsoft Outlook
		"9199bf20-a13f-4107-85dc-02114787ef48", // Outlook Web App Office 365
		"1fec8e78-bce4-4aaf-ab1b-5451cc387264", // Microsoft Teams
		"5e3ce6c0-2b1f-4285-8d4b-75ee78787346", // Microsoft Teams Web Client
		"cc15fd57-2c6c-4117-a88c-83b1d56b4bbe", // Microsoft Teams Services
		"13937bba-652e-4c46-b222-3003f4d1ff97", // Substrate Context Service
		"fe93bfe1-7947-460a-a5e0-7a5906b51360", // Viva Insights
		"66a88757-258c-4c72-893c-3e8bed4d6899", // Office 365 Search Service
		"b669c6ea-1adf-453f-b8bc-6d526592b419", // Focused Inbox
		"82d8ab62-be52-a567-14ea-1616c4ee06c4", // Exchange Online
		"c830ddb0-63e6-4f22-bd71-2ad47198a23e", // Microsoft To-Do
		"2087bd82-7206-4c0a-b305-1321a39e5926", // Microsoft To-Do
		"94c63fef-13a3-47bc-8074-75af8c65887a", // Office Delve
		"51133ff5-8e0d-4078-bcca-84fb7f905b64", // Microsoft Teams Mailhook
		"f3a218b7-5c8f-460b-93af-56b072788c15", // Microsoft Workplace Search Service
		"ab27a73e-a3ba-4e43-8360-8bcc717114d8", // Microsoft.OfficeModernCalendar
		"394866fc-eedb-4f01-8536-3ff84b16be2a", // Microsoft People Cards Service
		"607e1f95-b519-4bac-8a15-6196f40e8977", // StreamToSubstrateRepl
		"765fe668-04e7-42ba-aec0-2c96f1d8b652", // Exchange Office Graph Client for AAD - Noninteractive
		"4765445b-32c6-49b0-83e6-1d93765276ca", // OfficeHome
		"8ee8fdad-f234-4243-8f3b-15c294843740", // Microsoft Threat Protection
		"05a65629-4c1b-48c1-a78b-804c4abdd4af", // Microsoft Cloud App Security
	}
}
